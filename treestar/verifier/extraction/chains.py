r"""Reads what a calculation comes to: `12` of `a + b = 5 + 7 = 12`, `2x = 24 \implies x = 12`, `3 \cdot 4 = 12`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from treestar.verifier.extraction.bare_math import LABEL

__all__ = ["chain_value", "equation_value", "is_equation"]

LONGEST_CHAIN = 4000
"""In characters."""
LAYOUT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|gather|gathered|split|eqnarray)\*?\}")
ARROW = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])|⇒|⟹|∴")
NAMED_VALUE = re.compile(r"\s*(?:[a-zA-Z]|\\[a-z]+)(?:_\w|_\{\w+\})?\s*=[^=]*")
EQUALS = re.compile(r"=|≡|\\equiv(?![a-zA-Z])")
MARK = re.compile(
    r"""(?P<line>\\\\(?:\s*\[[^\]]*\])?)
    |(?P<open>\\begin\{[a-zA-Z*]+\}|\\?[({\[])|(?P<close>\\end\{[a-zA-Z*]+\}|\\?[)}\]])
    |(?P<equals>(?<![<>:])(?<!\s!)=|≡|\\equiv(?![a-zA-Z]))
    |(?P<other>[<>≤≥≠∨∧]|\\(?:[lg]eq?|neq?|[lg]t|in|to|vee|wedge|lor|land)(?![a-zA-Z])  # x \le 5
        |,(?!\\!|\d{3}(?!\d))                                                          # x = 2, y = 3; not 1,000
        |(?<![a-zA-Z])(?:and|or)(?![a-zA-Z])                                           # x = 2 or x = 3
        |\\text\{[^{}]*\b(?:and|or|if|for|when|where|so)\b[^{}]*\})
    |\\(?:[a-zA-Z]+|.)""",
    re.VERBOSE | re.DOTALL,
)
"""What divides a formula, and what a part of it is in. A comma before three digits separates thousands."""
MODULUS = re.compile(r"(?:\\quad|\s|\\ )*(?:\\[pb]?mod(?![a-zA-Z])|\((?:\\text\{)?mod).*$", re.DOTALL)
APART = re.compile(r"\\(?:text|mbox|mathrm|operatorname)\s*\{[^{}]*\}|_(?:\{[^{}]*\}|\w)")
"""Words and subscripts, whose letters are no variables."""
GREEK = re.compile(r"\\(?:alpha|beta|gamma|delta|theta|lambda|mu|sigma|(?:var)?phi|omega|rho|tau|psi|Phi)(?![a-zA-Z])")
COMMAND = re.compile(r"\\[a-zA-Z]+")
LETTER = re.compile(r"[a-zA-Z]")
CONSTANTS = frozenset("ei")
COORDINATES = frozenset("xyz")
NO_POLYNOMIAL = re.compile(r"/|\\(?:[cdt]?frac|sqrt|sin|cos|tan|cot|sec|csc|ln|log|lfloor|lceil)(?![a-zA-Z])|\^\{-")
SUM_OR_MULTIPLE = re.compile(r"[-+\d]")
EXPONENT = re.compile(r"\^\s*(?:\d|\{\d+\})")
ZERO = re.compile(r"[\s.]*0[\s.]*")
CALCULUS = re.compile(r"\\int(?![a-zA-Z])|\\[dt]?frac\{(?:\\mathrm\{)?d|\\lim(?![a-zA-Z])")
"""How an integral, a derivative or a limit begins, whose other side is its value."""


def chain_value(formula: str) -> str:
    """What a calculation of several lines, implications or equals signs comes to; else `formula` itself.

    A single equation can be an answer, such as that of a line, and lines that give a value to one letter each are one
    answer together.
    """
    if len(formula) > LONGEST_CHAIN or not is_equation(formula):
        return formula
    lines = groups_of(formula)
    if len(lines) > 1 and all(NAMED_VALUE.fullmatch(line) for line in lines):
        return formula
    last = ARROW.split(lines[-1])[-1].strip(" .,;") if lines else formula
    if not is_equation(last):
        return formula
    sides = sides_of(last)
    if len(sides) > 2 and not all(side.isalpha() for side in sides[:-1]):
        return without_modulus(sides[-1])
    return last if len(lines) > 1 or ARROW.search(formula) else formula


def equation_value(formula: str, said: bool) -> str:
    r"""The value in an equation that says what a quantity comes to, `34` of `x^2 + \frac{1}{x^2} = 34`; else `formula`.

    The equation of a curve, `x^2 + y^2 = 4`, and one that has not been solved, `2x = 10`, say no value, and a name
    before a value, `x = 5`, stays.

    Args:
        said: whether a sentence says that something is this quantity: "the area is $2x = 10$".
    """
    sides = sides_of(formula.strip(" .")) if len(formula) <= LONGEST_CHAIN else []
    if len(sides) != 2 or not all(sides) or LABEL.fullmatch(sides[0]) or ZERO.fullmatch(sides[1]):
        return formula
    left, right = sides
    if CALCULUS.match(left):
        return right
    unknown, others = variables(left), variables(right)
    if others and not unknown:
        return formula if ZERO.fullmatch(left) or LABEL.fullmatch(right) else left
    if not others <= unknown or (len(unknown) > 1 and unknown <= COORDINATES):
        return formula
    quantity = len(unknown) != 1 or others or said or NO_POLYNOMIAL.search(left) or is_monomial(left)
    return without_modulus(right) if quantity else formula


def is_equation(formula: str) -> bool:
    """Whether a formula has an equals sign, or the one of remainders."""
    return EQUALS.search(formula) is not None


def variables(formula: str) -> set[str]:
    """The letters in a formula, without those of words, subscripts and functions, and without e and i."""
    bare = APART.sub(" ", formula)
    return {*GREEK.findall(bare), *LETTER.findall(COMMAND.sub(" ", bare))} - CONSTANTS


def is_monomial(formula: str) -> bool:
    """Whether a formula in one letter is the letter itself or a power of it: no multiple, no sum."""
    return SUM_OR_MULTIPLE.search(EXPONENT.sub("", APART.sub("", formula))) is None


def without_modulus(residue: str) -> str:
    r"""`7` of `7 \pmod{9}`, where a calculation comes to it."""
    return MODULUS.sub("", residue).strip()


def groups_of(formula: str) -> list[str]:
    """The lines of a layout, each with those after it that begin with an equals sign; else the formula itself."""
    if LAYOUT.search(formula) is None:
        return [formula]
    groups: list[str] = []
    for line in pieces(LAYOUT.sub("", formula), "line"):
        plain = aligned(line)
        if groups and EQUALS.match(plain):
            groups[-1] += f" {plain}"
        elif plain:
            groups.append(plain)
    return groups


def aligned(line: str) -> str:
    """`line` without the marks that align it with others; those in a matrix stay."""
    return line.strip(" &\n") if "\\begin" in line else line.replace("&", " ").strip()


def sides_of(chain: str) -> list[str]:
    """What stands between the equals signs outside brackets; all of `chain` if it has other relations or parts."""
    if any(kind == "other" for kind, _, _ in marks_of(chain)):
        return [chain]
    return [aligned(side) for side in pieces(chain, "equals")]


def pieces(formula: str, kind: str) -> list[str]:
    found, begun = [], 0
    for mark, start, end in marks_of(formula):
        if mark == kind:
            found.append(formula[begun:start])
            begun = end
    return [*found, formula[begun:]]


def marks_of(formula: str) -> Iterator[tuple[str, int, int]]:
    """The marks outside brackets and tables: their kind, start and end."""
    depth = 0
    for match in MARK.finditer(formula):
        kind = match.lastgroup
        if kind in ("open", "close"):
            depth = max(0, depth + (1 if kind == "open" else -1))
        elif kind is not None and not depth:
            yield kind, match.start(), match.end()
