r"""Answers that state a rounding beside the exact value: `\sqrt{5} \approx 2.24`."""

from __future__ import annotations

from fractions import Fraction

from treestar.verifier.grading.expressions import written_number

__all__ = ["roundings_differ", "states_rounding"]


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
