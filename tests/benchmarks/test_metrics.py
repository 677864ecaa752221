"""The estimators against brute force: every subset and every order of a few samples."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise, permutations
from math import comb, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.benchmarks.metrics import (
    best_of_k,
    consensus_at_k,
    exact_match,
    pass_at_k,
    token_f1,
    weighted_vote_at_k,
)


@st.composite
def votes(draw, most: int = 9):
    """Groups of n samples as numbers from 0 (some -1), and which groups are correct."""
    n = draw(st.integers(1, most))
    raw = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    names = {group: place for place, group in enumerate(dict.fromkeys(group for group in raw if group >= 0))}
    right = draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    return [names.get(group, -1) for group in raw], right, draw(st.integers(1, n))


def test_pass_at_k_is_the_exact_rational_value() -> None:
    exact = 1 - Fraction(comb(70, 10), comb(100, 10))
    assert pass_at_k(100, 30, 10) == pytest.approx(float(exact), rel=1e-15)


def test_pass_at_k_agrees_with_every_subset_up_to_twelve_samples() -> None:
    for n in range(1, 13):
        for c in range(n + 1):
            right = [place < c for place in range(n)]
            for k in range(1, n + 1):
                hits = sum(any(subset) for subset in combinations(right, k))
                assert pass_at_k(n, c, k) == pytest.approx(hits / comb(n, k), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("c", "k"), [(3, 10), (50_000, 1), (99_999, 100_000), (1, 100_000), (0, 7), (10, 50_000)])
def test_pass_at_k_of_many_samples(c: int, k: int) -> None:
    n = 100_000
    exact = 1 - Fraction(comb(n - c, k), comb(n, k)) if min(c, k) < 100 else Fraction(1)
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-12)


def test_pass_at_k_without_a_right_sample_is_plain_zero() -> None:
    assert str(pass_at_k(5, 0, 5)) == str(pass_at_k(5, 0, 1)) == "0.0"


def test_pass_at_k_grows_with_k_and_c() -> None:
    values = [[pass_at_k(64, c, k) for k in range(1, 65)] for c in range(65)]
    columns = list(zip(*values, strict=True))
    assert all(one <= other for row in [*values, *columns] for one, other in pairwise(row))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_what_cannot_be_estimated_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="must be between"):
        pass_at_k(n, c, k)


@given(votes())
def test_consensus_agrees_with_every_subset(drawn) -> None:
    groups, right, k = drawn
    accuracy, tied = [], []
    for subset in combinations(groups, k):
        counts = Counter(group for group in subset if group >= 0)
        leaders = [group for group in counts if counts[group] == max(counts.values())]
        accuracy.append(sum(right[group] for group in leaders) / len(leaders) if leaders else 0.0)
        tied.append(len(leaders) > 1)
    found = consensus_at_k(groups, right, k)
    assert found.accuracy == pytest.approx(sum(accuracy) / len(accuracy), abs=1e-10)
    assert found.tied == pytest.approx(sum(tied) / len(tied), abs=1e-10)


@settings(max_examples=40)
@given(votes(most=6))
def test_a_tie_goes_to_the_answer_found_first_over_all_orders(drawn) -> None:
    groups, right, k = drawn

    def outcome(order: tuple[int, ...]) -> bool:
        counts = Counter(group for group in order if group >= 0)  # keeps the order of first appearance
        return bool(counts) and right[counts.most_common(1)[0][0]]

    outcomes = [outcome(order) for order in permutations(groups, k)]
    assert consensus_at_k(groups, right, k).accuracy == pytest.approx(sum(outcomes) / len(outcomes), abs=1e-10)


def test_consensus_of_many_samples() -> None:
    found = consensus_at_k([0] * 600 + [1] * 400, [True, False], 501)
    assert found.accuracy == pytest.approx(1.0, abs=1e-6)
    assert consensus_at_k([0] * 5000 + [1] * 5000, [True, False], 1).accuracy == pytest.approx(0.5)


@given(votes(), st.data())
def test_best_of_k_agrees_with_every_subset(drawn, data) -> None:
    groups, group_right, k = drawn
    score = st.one_of(st.just(-inf), st.sampled_from([-1.0, 0.0, 0.5]), st.floats(-5, 5))
    scores = [data.draw(score) for _ in groups]
    right = [group >= 0 and group_right[group] for group in groups]
    expected = []
    for subset in combinations(range(len(groups)), k):
        top = max(scores[place] for place in subset)
        leaders = [place for place in subset if scores[place] == top]
        expected.append(sum(right[place] for place in leaders) / len(leaders))
    # A tie inside a subset is broken over the whole tied block, which is the same in the mean over subsets.
    assert best_of_k(scores, right, k) == pytest.approx(sum(expected) / len(expected), abs=1e-10)


@given(votes(), st.data())
def test_weighted_vote_agrees_with_every_subset(drawn, data) -> None:
    groups, right, k = drawn
    weights = [data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])) for _ in groups]
    expected = []
    for subset in combinations(range(len(groups)), k):
        totals: Counter[int] = Counter()
        for place in subset:
            if groups[place] >= 0:
                totals[groups[place]] += weights[place]
        leaders = [group for group in totals if totals[group] == max(totals.values()) > 0]
        expected.append(sum(right[group] for group in leaders) / len(leaders) if leaders else 0.0)
    assert weighted_vote_at_k(groups, right, weights, k) == pytest.approx(sum(expected) / len(expected), abs=1e-10)


def test_a_drawn_weighted_vote_is_near_the_exact_consensus_and_repeats() -> None:
    groups, right = [0] * 9 + [1] * 7 + [2] * 8, [True, False, False]
    drawn = [weighted_vote_at_k(groups, right, [1.0] * 24, 9, seed) for seed in (0, 1, 2, 3)]
    exact = consensus_at_k(groups, right, 9).accuracy
    assert sum(drawn) / len(drawn) == pytest.approx(exact, abs=0.03)
    assert drawn[0] == weighted_vote_at_k(groups, right, [1.0] * 24, 9, 0)


@given(votes())
def test_at_k_of_one_sample_every_estimator_is_the_share_of_right_samples(drawn) -> None:
    groups, group_right, _ = drawn
    right = [group >= 0 and group_right[group] for group in groups]
    share = pytest.approx(sum(right) / len(right))
    assert pass_at_k(len(right), sum(right), 1) == share
    assert consensus_at_k(groups, group_right, 1).accuracy == share
    assert best_of_k([0.0] * len(right), right, 1) == share
    assert weighted_vote_at_k(groups, group_right, [1.0] * len(right), 1) == share


@pytest.mark.parametrize(
    ("answer", "gold", "same", "f1"),
    [
        ("The cat.", "a cat", 1.0, 1.0),
        ("-118", "118", 0.0, 0.0),
        ("0.5", "5", 0.0, 0.0),
        ("1,000", "1000", 1.0, 1.0),
        (None, "1", 0.0, 0.0),
        ("the red cat sat", "red dog", 0.0, 2 * 1 / (3 + 2)),
        ("la la la", "la la", 0.0, 2 * 2 / (3 + 2)),
    ],
)
def test_exact_match_and_token_f1(answer: str | None, gold: str, same: float, f1: float) -> None:
    assert exact_match(answer, gold) == same
    assert token_f1(answer, gold) == pytest.approx(f1)
