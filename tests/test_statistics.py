"""Intervals, paired tests and calibration against their definitions."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from treestar.statistics import (
    bootstrap_intervals,
    expected_calibration_error,
    mcnemar,
    paired_difference,
    share_interval,
    standard_error,
)


def test_a_share_of_none_or_all_is_not_certain() -> None:
    """Resamples of equal values are equal, and would give an empty interval."""
    for share in (0.0, 1.0):
        theirs = binomtest(int(40 * share), 40).proportion_ci(method="wilson")
        assert share_interval([share] * 40) == pytest.approx((theirs.low, theirs.high), abs=1e-4)
    [[low, high]] = bootstrap_intervals(np.array([[1.0], [0.0], [0.5]]))
    assert share_interval([1.0, 0.0, 0.5]) == (low, high)


OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def test_memory_is_bounded_however_many_problems_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((2000, 2))
    whole = bootstrap_intervals(values)
    monkeypatch.setattr("treestar.statistics.CHUNK_DRAWS", 7 * len(values))
    tracemalloc.start()
    try:
        parts = bootstrap_intervals(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parts == pytest.approx(whole)
    assert peak < 2_000_000, "of 500 resamples, 16 MB"


def test_the_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).random(200) ** 3
    [[low, high]] = bootstrap_intervals(values[:, None])
    theirs = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=2).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.003)
    assert high == pytest.approx(theirs.high, abs=0.003)
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / 200**0.5)


def test_95_of_100_intervals_hold_the_mean() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for repetition in range(200):
        [[low, high]] = bootstrap_intervals((rng.random((100, 1)) < 0.3).astype(float), seed=repetition)
        held += low <= 0.3 <= high
    assert 180 <= held <= 198


def test_metrics_share_their_resamples() -> None:
    values = np.random.default_rng(3).random((50, 3))
    together = bootstrap_intervals(values)
    apart = [bootstrap_intervals(values[:, [column]])[0] for column in range(3)]
    assert np.allclose(together, apart)


def test_a_constant_has_no_width_and_nothing_has_no_interval() -> None:
    assert bootstrap_intervals(np.ones((5, 1))).tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="the list of problems is empty"):
        bootstrap_intervals(np.ones((0, 1)))


def test_a_paired_difference_sees_what_an_unpaired_one_hides() -> None:
    rng = random.Random(0)
    first = [rng.random() for _ in range(80)]
    second = [value - 0.01 for value in first]
    found = paired_difference(first, second)
    assert found["difference"] == pytest.approx(0.01)
    assert found["interval"] == pytest.approx([0.01, 0.01])
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 0.0, 1.0], [1.0])


@given(OUTCOMES)
def test_mcnemar_is_the_binomial_test_of_what_differs(outcomes) -> None:
    first, second = [one for one, _ in outcomes], [other for _, other in outcomes]
    found = mcnemar(first, second)
    assert found.only_first == sum(one and not other for one, other in outcomes)
    assert found.only_second == sum(other and not one for one, other in outcomes)
    differing = found.only_first + found.only_second
    expected = binomtest(found.only_first, differing, 0.5).pvalue if differing else 1.0
    assert found.p_value == pytest.approx(expected)
    assert mcnemar(second, first).p_value == found.p_value


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_by_hand(pairs) -> None:
    confidences, right = [step / 20 for step, _ in pairs], [is_right for _, is_right in pairs]
    error = 0.0
    for place in range(10):
        inside = [
            (step / 20, is_right) for step, is_right in pairs if (max(step, 1) + 1) // 2 - 1 == place
        ]  # (0, 0.1], (0.1, 0.2], ...
        if inside:
            error += abs(sum(is_right for _, is_right in inside) - sum(sure for sure, _ in inside)) / len(pairs)
    assert expected_calibration_error(confidences, right) == pytest.approx(error)


def test_perfect_and_worst_confidence() -> None:
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert expected_calibration_error([1.0, 0.0], [False, True]) == 1.0
