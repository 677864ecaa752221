"""Compares two trees by their values: exactly where they are rational, otherwise at a few points with many digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import mpmath

from treestar.verifier.grading.tree_tokens import Tree, kinds_of, symbols_of
from treestar.verifier.grading.values import INFINITE, MINUS_INFINITE, Evaluation, TooLarge, UnknownValue, approximate

__all__ = ["FEWEST_POINTS", "constant_ratio_of", "constant_value", "points", "trees_equal", "whole_points"]

SymbolT = TypeVar("SymbolT")

DIGITS = 40
"""Decimal digits used to evaluate expressions."""
MORE_DIGITS, MANY_DIGITS = 100, 600
"""Digits used to recheck equal functions (at one point) and equal constants: with fewer, sqrt(10^40 + 1) would equal
10^20."""
SAME = Fraction(1, 10**25)
"""Relative difference below which two values of `DIGITS` digits count as equal."""
NEARLY_SAME = Fraction(1, 10**9)
"""The same limit if one expression contains decimals, which are usually rounded."""
CLEARLY_DIFFERENT = Fraction(1, 10**6)
"""Relative difference that no error of cancellation makes in values above `NEGLIGIBLE`."""
NEGLIGIBLE = Fraction(1, 10**10)
POINTS = tuple(map(Fraction, ("0.7321", "-1.2834", "2.4713", "-0.3917", "3.9171", "1.6127", "-2.7183")))
"""Values of the first variable; other variables get shifted values."""
FEWEST_POINTS = 3
"""Minimum number of points at which both expressions must have a value."""
COUNTS = (5, 2, 3, 4, 6, 7, 9, 12)
"""Values of a variable that is a limit of a sum."""
STEPS = 40
"""Number of integers at which expressions with steps (floor, remainder) are compared."""


def trees_equal(one: Tree, other: Tree, decimals: bool) -> bool | None:
    """Whether two trees have the same value wherever both are defined; None if their values do not tell.

    Args:
        decimals: whether an expression contains decimals, so that values may differ by rounding.
    """
    if one == other:
        return True
    symbols = sorted(symbols_of(one) | symbols_of(other))
    try:
        return equal_at_points(one, other, symbols, decimals)
    except UnknownValue:
        return None
    except TooLarge:
        return False  # Nobody answers with a number that nobody can compute.


def equal_at_points(one: Tree, other: Tree, symbols: Sequence[str], decimals: bool) -> bool | None:
    agreed = meaningless = 0
    too_large = False
    counted = limit_symbols(one) | limit_symbols(other)
    steps = bool(symbols) and bool({"floor", "ceil", "mod"} & (kinds_of(one) | kinds_of(other)))
    tried = [*points(symbols), *(whole_points(symbols) if steps else ())]
    for place, values in enumerate(tried):
        # The limits of a sum are integers.
        for shift, symbol in enumerate(sorted(counted)):
            values[symbol] = Fraction(COUNTS[place % len(COUNTS)] + shift)
        first, second = Evaluation(values, DIGITS), Evaluation(values, DIGITS)
        try:
            a, b = first.value(one), second.value(other)
        except TooLarge:
            if not symbols:
                raise
            too_large = True
            continue
        if a is None or b is None:
            meaningless += first.divided_by_zero and second.divided_by_zero
            if not symbols and (a is None) != (b is None):
                return False
            continue
        stands_in = first.stands_in or second.stands_in
        if stands_in and first.stands_in != second.stands_in:
            return None
        if same_number(one, other, values, (a, b), decimals, confirm=agreed == 0):
            agreed += 1
            if not symbols:
                return True
        elif stands_in:
            return None
        elif not is_outside_domain((a, b), values):
            return False
    if meaningless == len(tried):
        return False  # What divides by zero everywhere is not a number: it only equals what is written the same.
    if agreed >= FEWEST_POINTS:
        return True
    return False if too_large else None


def limit_symbols(tree: Tree) -> frozenset[str]:
    """The variables in the limits of sums and products."""
    inner = [limit_symbols(part) for part in tree[1:] if isinstance(part, tuple)]
    limits = [symbols_of(tree[3]), symbols_of(tree[4])] if tree[0] == "series" else []
    return frozenset().union(*inner, *limits)


def same_number(
    one: Tree, other: Tree, values: dict[str, Fraction], pair: tuple[Any, Any], decimals: bool, confirm: bool
) -> bool:
    """Whether two trees have the same value at a point, given their values with `DIGITS` digits."""
    a, b = pair
    if any(each is INFINITE or each is MINUS_INFINITE for each in pair):
        return bool(a is b)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b or (decimals and abs(a - b) <= NEARLY_SAME * max(abs(a), abs(b)))
    with mpmath.workdps(DIGITS):
        a, b = approximate(a), approximate(b)
        difference, scale = abs(a - b), max(abs(a), abs(b))
        if decimals and difference <= approximate(NEARLY_SAME) * scale:
            return True
        close = difference <= approximate(SAME) * scale
        if not close and difference > approximate(CLEARLY_DIFFERENT) * scale and difference > approximate(NEGLIGIBLE):
            return False
    if close and not confirm:
        return True
    return same_to_the_last_digit(one, other, values, difference)


def same_to_the_last_digit(one: Tree, other: Tree, values: dict[str, Fraction], earlier: Any) -> bool:
    """Whether the difference of two values vanishes the more, the more digits are computed; `earlier`: that with
    `DIGITS` digits."""
    digits = MORE_DIGITS if values else MANY_DIGITS
    a, b = Evaluation(values, digits).value(one), Evaluation(values, digits).value(other)
    if a is None or b is None:
        return False
    with mpmath.workdps(digits):
        a, b = approximate(a), approximate(b)
        difference, scale, ten = abs(a - b), max(abs(a), abs(b)), mpmath.mpf(10)
        return bool(
            difference <= scale * ten ** -(digits - 30) or difference <= earlier * ten ** (DIGITS + 20 - digits)
        )


def is_outside_domain(pair: tuple[Any, Any], values: dict[str, Fraction]) -> bool:
    """Whether a value is complex at a negative point: a root or logarithm outside the domain of a real answer."""
    if not any(value < 0 for value in values.values()):
        return False
    return any(isinstance(each, mpmath.mpc) and abs(each.imag) > mpmath.mpf(10) ** -25 * abs(each) for each in pair)


def points(symbols: Sequence[SymbolT]) -> Iterator[dict[SymbolT, Fraction]]:
    """Values for the variables."""
    if not symbols:
        yield {}
        return
    for start in range(len(POINTS)):
        yield {
            symbol: POINTS[(start + 2 * place) % len(POINTS)] + Fraction(place, 7)
            for place, symbol in enumerate(symbols)
        }
    yield {symbol: Fraction(2 * place + 5, 3) for place, symbol in enumerate(symbols)}


def whole_points(symbols: Sequence[SymbolT]) -> Iterator[dict[SymbolT, Fraction]]:
    """Consecutive integers, because step functions may differ at only a few places."""
    for number in range(STEPS):
        yield {symbol: Fraction(number + 3 * place) for place, symbol in enumerate(symbols)}


def constant_value(tree: Tree) -> Fraction | None:
    """The real value of a tree without variables, to `DIGITS` digits; None if it has none.

    Raises UnknownValue if it is not computed here.
    """
    evaluation = Evaluation({}, DIGITS)
    try:
        value = evaluation.value(tree)
    except TooLarge:
        return None
    if evaluation.stands_in:
        raise UnknownValue
    if isinstance(value, Fraction):
        return value
    if not isinstance(value, mpmath.mpf) or not mpmath.isfinite(value) or abs(value.exp) >= 10_000:
        return None
    return Fraction(*mpmath.libmp.to_rational(value._mpf_))


def constant_ratio_of(first: tuple[Tree, Tree], second: tuple[Tree, Tree]) -> float | None:
    """`(a - b) / (c - d)` for the pairs (a, b) and (c, d) if it is the same real number everywhere, else None.

    Raises UnknownValue if the values do not tell.
    """
    one: Tree = ("sum", first[0], ("negative", first[1]))
    other: Tree = ("sum", second[0], ("negative", second[1]))
    symbols = sorted(symbols_of(one))
    if not symbols or symbols != sorted(symbols_of(other)):
        return None
    ratios: list[Any] = []
    with mpmath.workdps(DIGITS):
        for values in points(symbols):
            evaluation = Evaluation(values, DIGITS)
            try:
                top, bottom = evaluation.value(one), evaluation.value(other)
            except TooLarge:
                return None
            if evaluation.stands_in or any(isinstance(each, str) for each in (top, bottom)):
                raise UnknownValue
            if top is None or bottom is None or not bottom:
                continue
            exact = isinstance(top, Fraction) and isinstance(bottom, Fraction)
            ratios.append(top / bottom if exact else approximate(top) / approximate(bottom))
            if abs(approximate(ratios[-1] - ratios[0])) > abs(approximate(ratios[0])) * mpmath.mpf(10) ** -15:
                return None
        if len(ratios) < FEWEST_POINTS:
            raise UnknownValue
        ratio = approximate(ratios[0])
        if isinstance(ratio, mpmath.mpc) and abs(ratio.imag) > abs(ratio) * mpmath.mpf(10) ** -25:
            return None
        return float(ratio.real) if ratio else None
