"""From shares to chances: what a policy's confidence means."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.config.calibration import Calibration, fitted_calibration
from treestar.statistics import expected_calibration_error

shares = st.floats(0, 1)


def test_slope_one_and_intercept_zero_change_nothing_between_the_ends() -> None:
    assert Calibration(1, 0)(0.3) == pytest.approx(0.3)
    assert 0 < Calibration(1, 0)(0) < Calibration(1, 0)(1) < 1


@given(shares, shares, st.floats(0.1, 3), st.floats(-3, 3))
def test_a_larger_share_never_means_a_smaller_chance(one: float, other: float, slope: float, intercept: float) -> None:
    chance = Calibration(slope, intercept)
    assert (chance(one) <= chance(other)) == (one <= other) or chance(one) == pytest.approx(chance(other))


def test_an_overconfident_policy_becomes_calibrated_on_other_problems() -> None:
    """Its answers are right half as often as their share says."""
    random = Random(0)
    drawn = [random.random() for _ in range(2000)]
    outcomes = [random.random() < share / 2 for share in drawn]
    chance = fitted_calibration(drawn[:1000], outcomes[:1000])
    told = [chance(share) for share in drawn[1000:]]
    assert expected_calibration_error(drawn[1000:], outcomes[1000:]) > 0.2
    assert expected_calibration_error(told, outcomes[1000:]) < 0.06


def test_few_and_unanimous_outcomes_give_a_finite_calibration() -> None:
    chance = fitted_calibration([1.0, 0.9, 0.8], [True, True, True])
    assert 0.5 < chance(0.8) < chance(1.0) < 1
    assert fitted_calibration([], []) == Calibration(1, 0)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.7, 0.95])
def test_answers_that_nothing_contradicts_are_as_sure_as_they_were_right(rate: float) -> None:
    """A policy that is often wrong in the same way: most of its searches find one answer only."""
    outcomes = [place < 1000 * rate for place in range(1000)]
    assert fitted_calibration([1.0] * 1000, outcomes)(1.0) == pytest.approx(rate, abs=0.01)
    mixed = fitted_calibration([1.0] * 1000 + [0.4] * 100, [*outcomes, *[True, False] * 50])
    assert (mixed(1.0), mixed(0.4)) == pytest.approx((rate, 0.5), abs=0.06)


def test_extreme_calibrations_give_chances_too() -> None:
    for slope in (-1e6, 1e6):
        assert sorted(Calibration(slope, 0)(share) for share in (0, 1)) == [0, 1]
