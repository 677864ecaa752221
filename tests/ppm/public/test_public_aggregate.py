"""From the steps' probabilities to a state's value in [-1, 1]."""

from __future__ import annotations

from math import inf, tanh

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.ppm.public import AGGREGATES, Aggregate
from treestar.ppm.public.aggregate import aggregated, probability_of_reward

PROBABILITY = st.floats(0, 1)
PROBABILITIES = st.lists(PROBABILITY, min_size=1, max_size=30)
HOW = st.sampled_from(AGGREGATES)


@given(PROBABILITIES, HOW)
def test_values_are_in_range(probabilities: list[float], how: Aggregate) -> None:
    assert -1 <= aggregated(probabilities, how) <= 1


@given(PROBABILITY)
def test_a_single_step_is_2p_minus_1(probability: float) -> None:
    for how in ("last", "min", "product", "mean"):
        assert aggregated([probability], how) == pytest.approx(2 * probability - 1)
    assert aggregated([probability], "sum") == pytest.approx(tanh(probability - 0.5))


@given(PROBABILITIES)
def test_aggregates_are_ordered(probabilities: list[float]) -> None:
    product, least, mean = (aggregated(probabilities, how) for how in ("product", "min", "mean"))
    assert product <= least + 1e-12
    assert least <= mean + 1e-12
    assert least <= aggregated(probabilities, "last")


@given(PROBABILITIES, st.randoms(), HOW)
def test_only_the_last_depends_on_the_order(probabilities: list[float], random: object, how: Aggregate) -> None:
    if how != "last":
        assert aggregated(sorted(probabilities), how) == pytest.approx(aggregated(probabilities, how), abs=1e-12)


@given(PROBABILITIES, PROBABILITY)
def test_a_further_step_never_raises_the_minimum_or_the_product(probabilities: list[float], another: float) -> None:
    for how in ("min", "product"):
        assert aggregated([*probabilities, another], how) <= aggregated(probabilities, how)
    assert aggregated([*probabilities, another], "last") == 2 * another - 1


@given(PROBABILITIES, st.integers(0, 29), HOW, PROBABILITY)
def test_a_better_step_never_lowers_a_value(
    probabilities: list[float], place: int, how: Aggregate, better: float
) -> None:
    place %= len(probabilities)
    raised = [*probabilities]
    raised[place] = max(better, raised[place])
    assert aggregated(raised, how) >= aggregated(probabilities, how) - 1e-12


@given(st.floats(-1e6, 1e6), st.floats(0.01, 100))
def test_rewards_become_probabilities_in_order(reward: float, scale: float) -> None:
    probability = probability_of_reward(reward, scale)
    assert 0 <= probability <= 1
    assert probability_of_reward(reward + 1, scale) >= probability
    assert probability_of_reward(-reward, scale) == pytest.approx(1 - probability)
    assert aggregated([probability], "last") == pytest.approx(tanh(reward / scale), abs=1e-12)


def test_edges() -> None:
    assert probability_of_reward(inf, 2.0) == 1
    assert probability_of_reward(0.0, 2.0) == 0.5
    for how in AGGREGATES:
        assert aggregated([], how) == 0
