"""Sets of real numbers as unions of intervals with numbers as ends, without sympy.

A set is a tuple of pieces in order, disjoint and not adjacent; a point is a closed piece from it to itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

__all__ = ["REALS", "End", "Piece", "RealSet", "complement", "intersection", "interval", "point", "same_sets", "union"]

End = Fraction | float
"""A number, or plus or minus infinity as a float."""
CLOSE = Fraction(1, 10**20)
"""Relative difference below which two ends are the same; they are computed with twice as many digits."""


class Piece(NamedTuple):
    """An interval that is not empty."""

    low: End
    low_open: bool
    high: End
    high_open: bool


RealSet = tuple[Piece, ...]
REALS: RealSet = (Piece(-math.inf, True, math.inf, True),)


def interval(low: End, high: End, low_open: bool, high_open: bool) -> RealSet:
    """The interval between two ends; empty if they are in the wrong order. Infinite ends are open."""
    low_open, high_open = low_open or math.isinf(low), high_open or math.isinf(high)
    if low > high or (low == high and (low_open or high_open)):
        return ()
    return (Piece(low, low_open, high, high_open),)


def point(value: Fraction) -> RealSet:
    """The set of one number."""
    return (Piece(value, False, value, False),)


def union(sets: Iterable[RealSet]) -> RealSet:
    """The union of sets."""
    merged: list[Piece] = []
    for piece in sorted((piece for each in sets for piece in each), key=lambda piece: (piece.low, piece.low_open)):
        last = merged[-1] if merged else None
        if last is None or piece.low > last.high or (piece.low == last.high and piece.low_open and last.high_open):
            merged.append(piece)
            continue
        high, high_open = max((last.high, not last.high_open), (piece.high, not piece.high_open))
        merged[-1] = Piece(last.low, last.low_open, high, not high_open)
    return tuple(merged)


def intersection(one: RealSet, other: RealSet) -> RealSet:
    """The numbers in both sets."""
    found: list[RealSet] = []
    for a in one:
        for b in other:
            low, low_open = max((a.low, a.low_open), (b.low, b.low_open))
            high, high_closed = min((a.high, not a.high_open), (b.high, not b.high_open))
            found.append(interval(low, high, low_open, not high_closed))
    return union(found)


def complement(one: RealSet) -> RealSet:
    """The numbers that are not in the set."""
    gaps: list[RealSet] = []
    low: End = -math.inf
    low_open = True
    for piece in one:
        gaps.append(interval(low, piece.low, low_open, not piece.low_open))
        low, low_open = piece.high, not piece.high_open
    return union([*gaps, interval(low, math.inf, low_open, True)])


def same_sets(one: RealSet, other: RealSet) -> bool:
    """Whether two sets have the same pieces; their ends may differ by rounding."""
    return len(one) == len(other) and all(
        (a.low_open, a.high_open) == (b.low_open, b.high_open) and close(a.low, b.low) and close(a.high, b.high)
        for a, b in zip(one, other, strict=True)
    )


def close(one: End, other: End) -> bool:
    if one == other:
        return True
    if isinstance(one, float) or isinstance(other, float):
        return False
    return abs(one - other) <= CLOSE * max(abs(one), abs(other))
