"""Exact parsing of numbers as people and programs write them.

A plain number is an optional sign, digits with or without thousands separators, a decimal part, an exponent, or a
fraction of two integers. Its value is a `Fraction`, so comparisons are exact, and its written precision is kept, so
that a decimal can be recognized as a rounding of another number. No text can create a number with more than a few
hundred digits.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

__all__ = ["PlainNumber", "plain_numbers_equal", "read_plain_number", "states_value"]

LONGEST_NUMBER = 400
"""In characters; longer text is not parsed as a number."""
LARGEST_EXPONENT = 400
"""Maximum absolute value of a power of ten that is expanded."""
FEWEST_ROUNDED_DIGITS = 5
"""Minimum significant digits with which a decimal may equal the number that it is rounded from: 2.6667 is 8/3, but
3.14 is not pi."""
FEWEST_TRUNCATED_DIGITS = 6
"""Minimum significant digits with which a decimal may also be truncated instead of rounded: 0.666666 is 2/3."""
FLOAT_DIGITS = 15
"""Significant digits of a printed binary float; its last digits contain rounding errors."""
FLOAT_TOLERANCE = Fraction(1, 10**12)
"""Relative tolerance for a printed binary float: 0.30000000000000004 is 0.3."""

SAME_NUMBER = Fraction(1, 10**30)
"""Relative difference between a decimal and the value of an expression that is all its digits."""

NUMBER = re.compile(
    r"""(?P<sign>[-+]?)
    (?:
        (?P<numerator>\d+)/(?P<denominator>\d+)
      | \\[dtc]?frac\{(?P<top>-?\d+)\}\{(?P<bottom>\d+)\}
      | (?P<whole>[1-9]\d{0,2}(?:,\d{3})+|\d+)?(?P<part>\.\d*)?(?:[eE](?P<exponent>[-+]?\d{1,4}))?
    )""",
    re.VERBOSE,
)


class PlainNumber(NamedTuple):
    """A number and the precision it was written with."""

    value: Fraction
    places: int | None = None
    """Digits after the decimal point (negative: the last written digit is tens or higher); None: exact."""
    digits: int = 0
    """Significant digits written; 0 if exact."""


def read_plain_number(text: str) -> PlainNumber | None:
    """All of `text` as a number, or None if it is not a number or too long."""
    if len(text) > LONGEST_NUMBER:
        return None
    match = NUMBER.fullmatch(text)
    if match is None or not text.isascii():
        return None
    sign = -1 if match["sign"] == "-" else 1
    bottom = match["denominator"] or match["bottom"]
    if bottom is not None:
        top = sign * int(match["numerator"] or match["top"])
        return PlainNumber(Fraction(top, int(bottom))) if int(bottom) else None
    decimals = (match["part"] or "")[1:]
    written = (match["whole"] or "").replace(",", "") + decimals
    power = int(match["exponent"] or 0)
    if not written or abs(power) > LARGEST_EXPONENT:
        return None
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
    # If both are decimals, the other must be precise enough that it cannot be a rounding itself.
    fewest_digits = max(10, decimal.digits + 3)
    if other.places is not None and decimal.digits < FLOAT_DIGITS and other.digits < fewest_digits:
        return False
    return is_rounding_of(decimal, other.value)


def states_value(number: PlainNumber, exact: Fraction | None) -> bool:
    """Whether `number` is all digits of the value `exact`, which is known to 40 digits, or a rounding of it."""
    if exact is None:
        return False
    return abs(exact - number.value) <= abs(exact) * SAME_NUMBER or is_rounding_of(number, exact)


def is_rounding_of(decimal: PlainNumber, value: Fraction) -> bool:
    """Whether `decimal` is `value` written with as many digits as `decimal` has."""
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
