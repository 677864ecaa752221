r"""Single expressions in canonical LaTeX: "do these two have the same value?"

The rules, in the order in which they apply: the same writing; numbers in digits, compared exactly or as roundings;
trees that this package parses itself, compared by their values (`trees`, `tree_comparison`); sympy for the rest
(`symbolic`). An answer may also state a rounding beside the exact value, `\sqrt{5} \approx 2.24`.
Runs only in a worker process.
"""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from functools import lru_cache

from treestar.verifier.grading.symbolic import equal_by_sympy, ratio_by_sympy
from treestar.verifier.grading.tree_comparison import constant_ratio_of, constant_value, trees_equal
from treestar.verifier.grading.tree_tokens import Tree, symbols_of
from treestar.verifier.grading.trees import parse
from treestar.verifier.grading.values import UnknownValue
from treestar.verifier.notation.canonical import squeeze
from treestar.verifier.notation.plain_numbers import PlainNumber, plain_numbers_equal, read_plain_number, states_value

__all__ = ["constant_ratio", "expressions_equal", "roundings_differ", "states_rounding", "written_number"]

SCIENTIFIC = re.compile(r"(-?\d+(?:\.\d+)?)(?:\\times|\\cdot)10\^\{(-?\d{1,3})\}")
BARE_LOGARITHM = re.compile(r"\\log(?![a-zA-Z])(?!\s*_)")
DECIMALS = re.compile(r"\d\.\d")


def written_number(latex: str) -> PlainNumber | None:
    """The number that `latex` contains in digits: integer, decimal, fraction, or scientific notation."""
    text = squeeze(latex)
    scientific = SCIENTIFIC.fullmatch(text)
    return read_plain_number(f"{scientific[1]}e{scientific[2]}" if scientific else text)


def expressions_equal(first: str, second: str) -> bool:
    """Whether two expressions in canonical LaTeX have the same value wherever both are defined. Symmetric."""
    first, second = sorted((first, second))
    if equal_by_value(first, second):
        return True
    # A logarithm without a base is decimal in school books but natural in programs and elsewhere.
    natural = [BARE_LOGARITHM.sub(r"\\ln", side) for side in (first, second)]
    return natural != [first, second] and equal_by_value(*natural)


@lru_cache(maxsize=1024)
def equal_by_value(first: str, second: str) -> bool:
    if squeeze(first) == squeeze(second):
        return True
    first_number, second_number = written_number(first), written_number(second)
    if first_number is not None and second_number is not None:
        return plain_numbers_equal(first_number, second_number)
    decimals = DECIMALS.search(first) is not None or DECIMALS.search(second) is not None
    one, other = parse(first), parse(second)
    verdict: bool | None = None
    if one is not None and other is not None:
        verdict = tree_verdict((one, first_number), (other, second_number), decimals)
    return equal_by_sympy(first, second, decimals) if verdict is None else verdict


def tree_verdict(
    one: tuple[Tree, PlainNumber | None], other: tuple[Tree, PlainNumber | None], decimals: bool
) -> bool | None:
    """Whether two trees, each with the number that it is written as, are equal; None if their values do not tell."""
    for number, tree in ((one[1], other[0]), (other[1], one[0])):
        if number is not None and number.places is not None and not symbols_of(tree):
            try:
                return states_value(number, constant_value(tree))
            except UnknownValue:
                return None
    return trees_equal(one[0], other[0], decimals)


def constant_ratio(first: tuple[str, str], second: tuple[str, str]) -> float | None:
    """`(a - b) / (c - d)` for the pairs (a, b) and (c, d), if it is the same real number everywhere, else None.

    Two equations whose sides have a constant ratio are the same; for inequalities, a negative ratio flips the sign.
    """
    trees = [tree for side in (*first, *second) if (tree := parse(side)) is not None]
    if len(trees) == 4:
        with contextlib.suppress(UnknownValue):
            return constant_ratio_of((trees[0], trees[1]), (trees[2], trees[3]))
    return ratio_by_sympy(first, second)


def roundings_differ(one: str, other: str) -> bool:
    """Whether two answers state roundings of which neither is the other one rounded further."""
    first, second = rounding_in(one), rounding_in(other)
    if not first or not second or first == second:
        return False
    found, wanted = written_number(bare(first)), written_number(bare(second))
    if found is None or wanted is None:
        return True
    places = min(found.places or 0, wanted.places or 0)
    return abs(found.value - wanted.value) > Fraction(1, 2) * Fraction(10) ** -places


def states_rounding(one: str, other: str) -> bool:
    """Whether `other` is the number that `one` states beside an exact value."""
    stated = rounding_in(one)
    if not stated or "\\approx" in other or stated.endswith("\\%") != other.endswith("\\%"):
        return False
    found, wanted = written_number(bare(stated)), written_number(bare(other))
    return found is not None and wanted is not None and found.value == wanted.value


def rounding_in(text: str) -> str:
    """The text after the last approximation sign; "" if there is none."""
    return text.rpartition("\\approx")[2].strip() if "\\approx" in text else ""


def bare(text: str) -> str:
    return text.removesuffix("\\%").strip()
