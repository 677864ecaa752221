"""Labels from values: the formulas on the paper's own examples, their limits, and what holds for every value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.judge.labels import LabelConfig, balanced, best_of, is_positive, ratio
from treestar.statistics import binomial_interval

ABS_Q = LabelConfig(rule="abs_q")
EFFECTIVE, EFFECTIVE_7B = LabelConfig(rule="rel_effective", alpha=0.4), LabelConfig(rule="rel_effective", alpha=0.8)
RATIO, RATIO_7B = LabelConfig(rule="rel_ratio", gamma=0.8), LabelConfig(rule="rel_ratio", gamma=0.7)
RULES = (ABS_Q, EFFECTIVE, EFFECTIVE_7B, RATIO, RATIO_7B)

values = st.integers(0, 16).map(lambda right: right / 16)
rules = st.sampled_from(RULES)


def effective(q: float, before: float, alpha: float, n: int = 4) -> float:
    """Rel-Effective's value, written out."""
    return q + alpha * ((1 - (1 - q) ** n) - (1 - (1 - before) ** n))


def test_a_chunk_that_raises_the_value_from_30_to_70_percent_is_positive() -> None:
    assert all(is_positive(0.7, 0.3, rule) for rule in RULES)


def test_one_that_lowers_it_from_80_to_20_percent_is_negative_by_the_relative_rules() -> None:
    assert is_positive(0.2, 0.8, ABS_Q), "the absolute rule does not see the loss"
    assert not is_positive(0.2, 0.8, RATIO)
    assert not is_positive(0.2, 0.8, RATIO_7B)
    assert not is_positive(0.2, 0.8, EFFECTIVE_7B)
    assert is_positive(0.2, 0.8, EFFECTIVE), "alpha .4 forgives it: .2 - .4 * (.9984 - .5904) = .0368"
    assert effective(0.2, 0.8, 0.4) == pytest.approx(0.0368)


def test_progress_from_10_to_50_counts_more_than_a_loss_from_90_to_60() -> None:
    assert is_positive(0.5, 0.1, RATIO)
    assert not is_positive(0.6, 0.9, RATIO)
    assert not is_positive(0.6, 0.9, RATIO_7B)
    assert ratio(0.5, 0.1) > ratio(0.6, 0.9)
    assert effective(0.5, 0.1, 0.8) > effective(0.6, 0.9, 0.8), "although .5 < .6"


def test_the_relative_rules_depend_on_their_parameters() -> None:
    assert is_positive(0.6, 0.9, LabelConfig(gamma=0.6))
    assert not is_positive(0.6, 0.9, LabelConfig(gamma=0.7))
    assert not is_positive(0.5, 0.5, LabelConfig(gamma=1.0)), "the ratio must exceed gamma"
    assert not is_positive(0.1, 0.9, LabelConfig(rule="rel_effective", alpha=0.4))
    assert is_positive(0.1, 0.9, LabelConfig(rule="rel_effective", alpha=0.1))
    assert is_positive(0.1, 0.9, LabelConfig(rule="rel_effective", alpha=0.4, best_of=1)) == (0.1 - 0.4 * 0.8 > 0)


@pytest.mark.parametrize("rule", RULES)
def test_from_nothing_only_progress_is_positive(rule: LabelConfig) -> None:
    assert not is_positive(0.0, 0.0, rule)
    assert is_positive(1 / 16, 0.0, rule)


@given(values, rules)
def test_a_chunk_after_which_nothing_succeeds_is_negative(before: float, rule: LabelConfig) -> None:
    assert not is_positive(0.0, before, rule)


@given(values, values, values, rules)
def test_a_higher_value_never_makes_a_label_worse(one: float, other: float, before: float, rule: LabelConfig) -> None:
    low, high = sorted((one, other))
    assert is_positive(high, before, rule) >= is_positive(low, before, rule)


@given(values, values, values, rules)
def test_a_higher_value_before_never_makes_it_better(q: float, one: float, other: float, rule: LabelConfig) -> None:
    low, high = sorted((one, other))
    assert is_positive(q, low, rule) >= is_positive(q, high, rule)


@given(values, values)
def test_no_relative_rule_calls_positive_what_the_absolute_one_calls_negative(q: float, before: float) -> None:
    for rule in RULES:
        assert is_positive(q, before, ABS_Q) >= is_positive(q, before, rule)


@given(values, values, st.floats(0, 2), st.integers(1, 8))
def test_the_effective_rule_is_the_formula(q: float, before: float, alpha: float, n: int) -> None:
    rule = LabelConfig(rule="rel_effective", alpha=alpha, best_of=n)
    value = effective(q, before, alpha, n)
    if abs(value) > 1e-9:
        assert is_positive(q, before, rule) == (value > 0)


@given(values, st.integers(1, 8))
def test_best_of_n_is_a_probability_and_at_least_that_of_one(q: float, n: int) -> None:
    assert q - 1e-12 <= best_of(q, n) <= 1
    assert best_of(q, 1) == pytest.approx(q)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"rule": "abs"}, "rule must be abs_q or rel_effective or rel_ratio"),
        ({"gamma": -0.1}, "gamma must be"),
        ({"alpha": float("nan")}, "alpha must be"),
        ({"best_of": 0}, "best_of must be"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LabelConfig(**fields)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 5))
def test_balancing_keeps_the_order_and_all_of_the_rarer_class(labels: list[bool], seed: int) -> None:
    items = list(range(len(labels)))
    kept = balanced(items, labels, seed)
    positive, negative = sum(labels), len(labels) - sum(labels)
    assert kept == sorted(set(kept))
    assert [sum(labels[item] == label for item in kept) for label in (True, False)] == [min(positive, negative)] * 2
    assert kept == balanced(items, labels, seed)


def test_balancing_draws_anew_with_another_seed() -> None:
    labels = [True] * 50 + [False] * 10
    assert balanced(range(60), labels, 0) != balanced(range(60), labels, 1)


@given(st.integers(0, 64), st.integers(0, 64))
def test_an_estimate_lies_in_its_interval(one: int, other: int) -> None:
    right, completions = min(one, other), max(one, other, 1)
    low, high = binomial_interval(right, completions)
    assert 0 <= low <= right / completions <= high <= 1
    assert high > low


def test_the_interval_is_wilsons() -> None:
    assert binomial_interval(8, 16) == pytest.approx((0.2800, 0.7200), abs=1e-4)
    assert binomial_interval(0, 16) == pytest.approx((0.0, 0.1936), abs=1e-4)
    assert binomial_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 of 2"):
        binomial_interval(3, 2)
