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
