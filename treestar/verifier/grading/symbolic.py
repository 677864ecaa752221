"""The last resort for single expressions: sympy, through math-verify's grammar, for what `trees` does not read.

If both sides are rational, they are compared by exact arithmetic. Otherwise both are evaluated at a few fixed points
with many digits, or compared by math-verify if evaluation is impossible. Runs only in a worker process that has loaded
sympy: parsing or evaluating a hostile expression may never end.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from functools import lru_cache
from typing import Any

from treestar.verifier.grading.tree_comparison import FEWEST_POINTS, points, whole_points
from treestar.verifier.notation.canonical import squeeze
from treestar.verifier.notation.plain_numbers import read_plain_number, states_value

__all__ = ["SymbolicNeeded", "decimal_value", "equal_by_sympy", "parse_expression", "ratio_by_sympy", "require_sympy"]

LONGEST_EXPRESSION = 1500
"""Maximum characters of LaTeX; realistic answers have fewer, and the grammar is slow."""
DIGITS = 40
"""Decimal digits used to evaluate expressions."""
MORE_DIGITS, MANY_DIGITS = 100, 600
"""Digits used to recheck equal functions (at one point) and equal constants: with fewer, sqrt(10^40 + 1) would equal
10^20."""
SAME = 10.0**-25
"""Relative difference below which two values of `DIGITS` digits count as equal."""
FEWEST_BITS = 20
"""Minimum precision of a value in bits; a value with less is a zero with cancellation error."""
NEARLY_SAME = 10.0**-9
"""The same limit if one expression contains decimals, which are usually rounded."""
LARGEST_LITERAL_EXPONENT = 20_000

NOT_READABLE = re.compile(
    r"\d\s+\d|\d\}?\s*_|\\text|[?!]{2}|\\ldots|\\c?dots|\.\.\.|\\(?:under|over)brace|[\"#&~](?!.*\\end)|(?<!\\begin)\{\}|^[,;:=<>]"
)
EXPONENT = re.compile(r"\^\{-?(\d+)\}")


class SymbolicNeeded(Exception):
    """The comparison needs sympy, which this process has not loaded."""


def require_sympy() -> None:
    """Raise SymbolicNeeded unless sympy is loaded: loading it takes longer than any comparison may."""
    if "sympy" not in sys.modules:
        raise SymbolicNeeded


def equal_by_sympy(first: str, second: str, decimals: bool) -> bool:
    """Whether sympy and math-verify find two expressions in canonical LaTeX equal.

    Args:
        decimals: whether an expression contains decimals, so that values may differ by rounding.
    """
    if not (is_readable(first) and is_readable(second)):
        return False
    require_sympy()
    one, other = parse_expression(first), parse_expression(second)
    if one is None or other is None:
        return False
    for latex, expression in ((first, other), (second, one)):
        number = read_plain_number(squeeze(latex))
        if number is not None and number.places is not None and not expression.free_symbols:
            return states_value(number, decimal_value(expression))
    return same_value(one, other, NEARLY_SAME if decimals else SAME)


def is_readable(latex: str) -> bool:
    """Whether the grammar may be able to read `latex`; cheap, so that most other texts need no grammar."""
    if len(latex) > LONGEST_EXPRESSION or NOT_READABLE.search(latex):
        return False
    return all(int(exponent) <= LARGEST_LITERAL_EXPONENT for exponent in EXPONENT.findall(latex))


def decimal_value(expression: Any) -> Fraction | None:
    """The real value of a constant to `DIGITS` digits; None if it has none."""
    import sympy

    value = sympy.N(expression, DIGITS, maxn=400)
    return Fraction(str(sympy.Rational(value))) if value.is_Float or value.is_Rational else None


@lru_cache(maxsize=512)
def parse_expression(latex: str) -> Any | None:
    """All of `latex` as a sympy expression or matrix, with exact decimals; None if it cannot be parsed."""
    import sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy

    if not is_readable(latex):
        return None
    converter = _Latex2Sympy(convert_degrees=True, config=ConversionConfig(lowercase_symbols=False))
    try:
        parser = converter.create_parser(for_grammar(latex))
        tree = parser.math()
        if parser.getCurrentToken().type != -1 or not tree.set_elements():
            return None  # The grammar accepts a prefix, but half an answer is not an answer.
        expression = converter.convert_set_elements(tree.set_elements())
    except Exception:  # the grammar and sympy raise anything on text that only looks like a formula
        return None
    if not isinstance(expression, (sympy.Expr, sympy.MatrixBase, sympy.MatrixExpr)):
        return None
    decimals = {number: sympy.Rational(str(number)) for number in expression.atoms(sympy.Float)}
    expression = expression.xreplace(decimals) if decimals else expression
    if not isinstance(expression, (sympy.MatrixBase, sympy.MatrixExpr)) and not expression.has(sympy.MatrixBase):
        expression = tidied(expression)
    if expression.has(sympy.zoo, sympy.nan):
        return None  # 1/0 is no number, so it is not 2/0
    imaginary = [symbol for symbol in expression.free_symbols if str(symbol) == "i"]
    return expression.subs(imaginary[0], sympy.I) if imaginary else expression


def tidied(expression: Any) -> Any:
    """`expression` with its sums and products in sympy's order; the grammar keeps them as written.

    Large powers of numbers stay unevaluated: the comparison decides whether to expand them.
    """
    import sympy

    if not expression.args or isinstance(expression, sympy.UnevaluatedExpr):
        return expression
    arguments = tuple(tidied(argument) for argument in expression.args)
    if isinstance(expression, (sympy.Add, sympy.Mul)):
        return expression.func(*arguments)
    if isinstance(expression, sympy.Pow):
        base, exponent = arguments
        small = not (base.is_number and exponent.is_number) or (exponent.is_Rational and abs(exponent) <= 64)
        return sympy.Pow(base, exponent, evaluate=bool(small))
    return expression if arguments == expression.args else expression.func(*arguments)


def for_grammar(latex: str) -> str:
    """`latex` with constructs unknown to math-verify's grammar replaced by known ones."""
    latex = re.sub(r"(?<=[1-9]),(?=\d{3}(?!\d))|(?<=[1-9]\d),(?=\d{3}(?!\d))|(?<=\d{3}),(?=\d{3}(?!\d))", "", latex)
    latex = re.sub(r"\\(lcm|gcd)(?![a-zA-Z])", r"\\operatorname{\1}", latex)
    return re.sub(r"\\sqrt\[(\d+)\]\s*", r"\\sqrt[\1]", latex).replace("\\sqrt {", "\\sqrt{")


def same_value(one: Any, other: Any, tolerance: float) -> bool:
    import sympy

    if isinstance(one, sympy.MatrixExpr) or isinstance(other, sympy.MatrixExpr):
        one, other = one.doit(), other.doit()
    matrices = [isinstance(side, sympy.MatrixBase) for side in (one, other)]
    if any(matrices):
        alike = all(matrices) and one.shape == other.shape
        return alike and all(same_value(a, b, tolerance) for a, b in zip(one.flat(), other.flat(), strict=True))
    if one == other:
        return True
    if one.is_infinite or other.is_infinite:
        return bool(one.doit() == other.doit())
    if not one.free_symbols and not other.free_symbols:
        exact_one, exact_other = one.doit(), other.doit()
        if exact_one.is_Rational and exact_other.is_Rational:
            if tolerance == SAME:
                return bool(exact_one == exact_other)
            return bool(abs(exact_one - exact_other) <= tolerance * max(abs(exact_one), abs(exact_other)))
    verdict = same_at_points(one, other, tolerance)
    return math_verify_says(one, other) if verdict is None else verdict


def same_at_points(one: Any, other: Any, tolerance: float) -> bool | None:
    """Whether the values agree at every test point; None if too few points give both a value."""
    import sympy

    agreed = 0
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    steps = any(side.has(sympy.floor, sympy.ceiling, sympy.Mod) for side in (one, other))
    for values in (*points(symbols), *(whole_points(symbols) if steps and symbols else ())):
        at_point = one.subs(values), other.subs(values)
        first, second = value_at(at_point[0], {}), value_at(at_point[1], {})
        if first is None or second is None:
            continue
        scale = max(abs(first), abs(second))
        if abs(first - second) <= tolerance * scale:
            agreed += 1
            digits = MORE_DIGITS if symbols else MANY_DIGITS
            if agreed == 1 and tolerance == SAME and not same_to_the_last_digit(*at_point, digits):
                return False
            if not symbols:
                return True
            continue
        complex_values = abs(first.imag) > SAME * scale or abs(second.imag) > SAME * scale
        if complex_values and any(value < 0 for value in values.values()):
            continue  # Roots and logarithms of negative numbers: outside the domain of a real answer.
        return False
    return True if agreed >= FEWEST_POINTS else None


def same_to_the_last_digit(one: Any, other: Any, digits: int) -> bool:
    """Whether two constants that agree to `DIGITS` digits also agree to `digits` digits."""
    import sympy

    # A difference far below either value still counts: 1 + 10^-600 is not 1.
    difference = sympy.N(one - other, 5, maxn=digits)
    return all(part.is_zero or significant(part) == "0" for part in difference.as_real_imag())


def value_at(expression: Any, values: dict[Any, Any]) -> Any | None:
    """The value as a complex number with many digits, or None if it is not finite."""
    import mpmath
    import sympy

    try:
        value = sympy.N(expression.subs(values), DIGITS)
        real, imaginary = value.as_real_imag()
        if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
            return None
        with mpmath.workdps(DIGITS):
            return mpmath.mpc(significant(real), significant(imaginary))
    except (TypeError, ValueError, ArithmeticError, AttributeError, NotImplementedError):
        return None


def significant(part: Any) -> str:
    """`part` as digits, or zero if sympy's error bounds leave no digit certain."""
    import sympy

    lost = part.is_Float and part._prec < FEWEST_BITS
    return "0" if lost else str(sympy.N(part, DIGITS))


def math_verify_says(one: Any, other: Any) -> bool:
    from math_verify import verify

    return bool(verify(one, other, timeout_seconds=None) or verify(other, one, timeout_seconds=None))


def ratio_by_sympy(first: tuple[str, str], second: tuple[str, str]) -> float | None:
    """`(a - b) / (c - d)` for the pairs (a, b) and (c, d), if it is the same real number everywhere, else None."""
    require_sympy()
    import sympy

    sides = [side for side in map(parse_expression, (*first, *second)) if isinstance(side, sympy.Expr)]
    if len(sides) < 4:
        return None
    one, other = sides[0] - sides[1], sides[2] - sides[3]
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    if not symbols or one.free_symbols != other.free_symbols:
        return None
    ratios = []
    for values in points(symbols):
        top, bottom = value_at(one, values), value_at(other, values)
        if top is not None and bottom:
            ratios.append(top / bottom)
    if len(ratios) < FEWEST_POINTS:
        return None
    ratio = ratios[0]
    if abs(ratio.imag) > SAME or abs(ratio) < SAME:
        return None
    same = all(abs(each - ratio) <= abs(ratio) * 10.0**-15 for each in ratios)
    return float(ratio.real) if same else None
