"""Sets of real numbers: a number is in a union, an intersection or a complement exactly if it should be."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.verifier.grading.real_sets import (
    REALS,
    RealSet,
    complement,
    intersection,
    interval,
    point,
    same_sets,
    union,
)

numbers = st.integers(-6, 6).map(Fraction)
ends = st.one_of(numbers, st.sampled_from([-math.inf, math.inf]))
intervals = st.builds(interval, ends, ends, st.booleans(), st.booleans())
sets = st.lists(st.one_of(intervals, numbers.map(point)), max_size=4).map(union)
tried = st.integers(-14, 14).map(lambda n: Fraction(n, 2))


def contains(one: RealSet, number: Fraction) -> bool:
    return any(
        (piece.low < number or (piece.low == number and not piece.low_open))
        and (number < piece.high or (number == piece.high and not piece.high_open))
        for piece in one
    )


@given(sets, sets, tried)
def test_membership_follows_the_operations(one: RealSet, other: RealSet, number: Fraction) -> None:
    assert contains(union([one, other]), number) == (contains(one, number) or contains(other, number))
    assert contains(intersection(one, other), number) == (contains(one, number) and contains(other, number))
    assert contains(complement(one), number) != contains(one, number)


@given(sets, sets)
def test_equal_sets_have_one_form(one: RealSet, other: RealSet) -> None:
    assert complement(complement(one)) == one
    assert same_sets(union([one, other]), union([other, one]))
    assert complement(union([one, other])) == intersection(complement(one), complement(other))


@pytest.mark.parametrize(("low", "high", "open_ends"), [(2, 1, False), (1, 1, True)])
def test_an_interval_without_numbers_is_empty(low: int, high: int, open_ends: bool) -> None:
    assert interval(Fraction(low), Fraction(high), open_ends, open_ends) == ()
    assert complement(()) == REALS
