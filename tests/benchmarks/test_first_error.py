"""The first wrong step of a solution, and how well it is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.benchmarks.first_error import (
    ACCURACIES,
    NO_ERROR,
    best_threshold,
    first_error,
    first_error_figures,
    harmonic_mean,
)

SOLUTIONS = st.lists(
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5).flatmap(
        lambda values: st.tuples(st.just(values), st.integers(NO_ERROR, len(values) - 1))
    ),
    min_size=1,
    max_size=12,
)


def test_the_first_value_below_the_threshold_is_the_error() -> None:
    assert first_error([0.9, 0.2, 0.1], 0.5) == 1
    assert first_error([0.9, 0.5], 0.5) == NO_ERROR
    assert first_error([], 0.5) == NO_ERROR


def test_the_score_of_processbench() -> None:
    # StepWiser 7B, table 10: 66.5 on erroneous and 80.0 on correct solutions of GSM8K give 72.6.
    assert harmonic_mean(0.665, 0.800) == pytest.approx(0.726, abs=5e-4)
    result = first_error_figures([1, 2, NO_ERROR, NO_ERROR, 0], [1, 1, NO_ERROR, 3, NO_ERROR])
    assert (result["erroneous"], result["correct"]) == (3, 2)
    assert (result["error_accuracy"], result["correct_accuracy"]) == (1 / 3, 1 / 2)
    assert result["f1"] == pytest.approx(harmonic_mean(1 / 3, 1 / 2))


def test_accepting_everything_scores_nothing() -> None:
    result = first_error_figures([NO_ERROR] * 3, [0, 1, NO_ERROR])
    assert [result[name] for name in ACCURACIES] == [0.0, 1.0, 0.0]


def test_a_set_of_one_kind_has_no_score() -> None:
    result = first_error_figures([NO_ERROR], [NO_ERROR])
    assert (result["f1"], result["intervals"]["f1"]) == (0.0, (0.0, 0.0))


@given(SOLUTIONS)
def test_no_threshold_is_better_than_the_chosen_one(solutions: list[tuple[list[float], int]]) -> None:
    values, labels = [each for each, _ in solutions], [label for _, label in solutions]

    def score(threshold: float) -> float:
        return float(first_error_figures([first_error(each, threshold) for each in values], labels)["f1"])

    others = [-1.0, -0.75, -0.25, 0.1, 0.3, 0.75, 1.5]
    assert score(best_threshold(values, labels)) == pytest.approx(max(map(score, others)))


@given(SOLUTIONS)
def test_the_intervals_contain_the_figures(solutions: list[tuple[list[float], int]]) -> None:
    labels = [label for _, label in solutions]
    found = first_error_figures([first_error(each, 0.1) for each, _ in solutions], labels)
    for name, (low, high) in found["intervals"].items():
        assert 0.0 <= low <= found[name] <= high <= 1.0


def test_a_threshold_needs_steps() -> None:
    with pytest.raises(ValueError, match="solutions with steps"):
        best_threshold([[], []], [NO_ERROR, NO_ERROR])
