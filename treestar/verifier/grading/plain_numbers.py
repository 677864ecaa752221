"""Numbers as people and programs write them, read exactly.

A plain number is an optional sign, digits with or without thousands separators, a decimal part, an exponent, or a
fraction of two integers. Its value is a `Fraction`, so comparing two of them never loses a digit, and its written
precision is kept, so that a decimal can be recognised as another number's rounding. Nothing here builds a number with
more than a few hundred digits, whatever the text says.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

__all__ = ["PlainNumber", "is_rounding_of", "plain_numbers_equal", "read_plain_number"]

LONGEST_NUMBER = 400
"""Characters; anything longer is left to string comparison."""
LARGEST_EXPONENT = 400
"""Absolute value of a power of ten that is still written out."""
FEWEST_ROUNDED_DIGITS = 5
"""Significant digits from which a decimal may stand for the number it is the rounding of: 2.6667 is 8/3, 3.14 is
not pi."""
FEWEST_TRUNCATED_DIGITS = 6
"""Significant digits from which a decimal may also be cut off instead of rounded: 0.666666 is 2/3."""
FLOAT_DIGITS = 15
"""Significant digits of a printed binary float; its last ones carry the computation's error."""
FLOAT_TOLERANCE = Fraction(1, 10**12)
"""Relative error forgiven to a printed binary float: 0.30000000000000004 is 0.3."""

NUMBER = re.compile(
    r"""(?P<sign>[-+]?)
    (?:
        (?P<numerator>\d+)/(?P<denominator>\d+)
      | \\[dtc]?frac\{(?P<top_sign>-?)(?P<top>\d+)\}\{(?P<bottom>\d+)\}
      | (?P<whole>[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?P<part>\.\d*)?(?:[eE](?P<exponent>[-+]?\d{1,4}))?
    )""",
    re.VERBOSE,
)


class PlainNumber(NamedTuple):
    """A number and the precision it was written with."""

    value: Fraction
    places: int | None = None
    """Digits after the decimal point (negative: the last written digit stands for tens and up); None: exact."""
    digits: int = 0
    """Significant digits written; 0 where exact."""


def read_plain_number(text: str) -> PlainNumber | None:
    """The number that the whole of `text` is, or None where it is anything else or too long."""
    if len(text) > LONGEST_NUMBER:
        return None
    match = NUMBER.fullmatch(text)
    if match is None or not text.isascii():
        return None
    sign = -1 if match["sign"] == "-" else 1
    if match["numerator"] is not None:
        return fraction(sign, match["numerator"], match["denominator"])
    if match["top"] is not None:
        return fraction(-sign if match["top_sign"] else sign, match["top"], match["bottom"])
    return decimal_number(sign, (match["whole"] or "").replace(",", ""), match["part"], match["exponent"])


def fraction(sign: int, top: str, bottom: str) -> PlainNumber | None:
    denominator = int(bottom)
    return PlainNumber(Fraction(sign * int(top), denominator)) if denominator else None


def decimal_number(sign: int, whole: str, part: str | None, exponent: str | None) -> PlainNumber | None:
    decimals = (part or "")[1:]
    if not whole and not decimals:
        return None
    power = int(exponent or 0)
    if abs(power) > LARGEST_EXPONENT:
        return None
    written = whole + decimals
    value = Fraction(sign * int(written)) * Fraction(10) ** (power - len(decimals))
    if not decimals:
        return PlainNumber(value)
    return PlainNumber(value, places=len(decimals) - power, digits=len(written.lstrip("0")))


def plain_numbers_equal(first: PlainNumber, second: PlainNumber) -> bool:
    """Whether two numbers are the same, or one is a sufficiently precise rounding of the other. Symmetric."""
    if first.value == second.value:
        return True
    return rounds_to(first, second) or rounds_to(second, first)


def rounds_to(decimal: PlainNumber, other: PlainNumber) -> bool:
    # Between two decimals the other one must be so much more precise that it cannot be a rounding itself.
    fewest_digits = max(10, decimal.digits + 3)
    if other.places is not None and decimal.digits < FLOAT_DIGITS and other.digits < fewest_digits:
        return False
    return is_rounding_of(decimal, other.value)


def is_rounding_of(decimal: PlainNumber, value: Fraction) -> bool:
    """Whether `decimal` is what `value` looks like when written with as many digits as `decimal` has."""
    if decimal.places is None or decimal.digits < FEWEST_ROUNDED_DIGITS:
        return False
    difference = abs(decimal.value - value)
    if decimal.digits >= FLOAT_DIGITS:
        return difference <= FLOAT_TOLERANCE * abs(value)
    last_place = Fraction(10) ** -decimal.places
    if difference <= last_place / 2:
        return True
    truncated = decimal.digits >= FEWEST_TRUNCATED_DIGITS and abs(decimal.value) < abs(value)
    return truncated and difference < last_place
