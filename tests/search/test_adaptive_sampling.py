"""Adaptive-Consistency and ESC: the stopping rules, and that they stop where the votes decide."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc
from support.scripted import Script, components

from treestar.search import (
    AdaptiveConsistencyConfig,
    ESCConfig,
    MajorityConfig,
    SearchConfig,
    SearchResult,
    search_one,
)
from treestar.search.adaptive_consistency import leader_stays
from treestar.search.esc import agree
from treestar.types import Problem, State, Step

PROBLEM = Problem("which?", answer="a")


def answering(answers: Sequence[str | None]) -> Script:
    """One-step trajectories with these answers, in order, then from the beginning again; None fails."""
    drawn = [0]

    def script(state: State, n: int, seed: int) -> list[Step]:
        steps = []
        for _ in range(n):
            answer = answers[drawn[0] % len(answers)]
            drawn[0] += 1
            step = Step("raise", "raise", tokens=1) if answer is None else Step(answer, "", "answer", answer, tokens=1)
            steps.append(step)
        return steps

    return script


def run(config: SearchConfig, answers: Sequence[str | None]) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(answering(answers))))


votes = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30)


@given(st.lists(st.integers(0, 40), max_size=4))
def test_the_criterion_is_the_tail_of_the_beta_posterior(counts: list[int]) -> None:
    first, second, *_ = [*sorted(counts, reverse=True), 0, 0]
    assert leader_stays(counts) == pytest.approx(1 - betainc(first + 1, second + 1, 0.5), abs=1e-12)


def test_four_votes_without_another_suffice_at_95_percent() -> None:
    # Beta(5, 1) above 1/2: 1 - (1/2)^5 = 31/32; Beta(4, 1): 15/16.
    assert leader_stays([4]) == 31 / 32
    assert leader_stays([3]) == 15 / 16
    result = run(AdaptiveConsistencyConfig(), ["a"])
    assert (result.stats.rollouts, result.stopped, result.answer, result.confidence) == (4, "decided", "a", 1.0)


def test_a_second_answer_costs_adaptive_consistency_more_samples() -> None:
    # 7 votes against 1: Beta(8, 2) above 1/2 is .980, and 5 against 1 only .938; 6 against 1: .965.
    result = run(AdaptiveConsistencyConfig(), ["b", *"aaaaaaaaaa"])
    assert (result.stats.rollouts, result.answer) == (7, "a")


@settings(max_examples=50)
@given(votes, st.integers(1, 12), st.integers(1, 4), st.floats(0.5, 0.99))
def test_adaptive_consistency_stops_at_the_first_window_that_decides(
    answers: list[str | None], samples: int, window: int, stay_probability: float
) -> None:
    config = AdaptiveConsistencyConfig(samples=samples, window=window, stay_probability=stay_probability)
    result = run(config, answers)
    drawn = [answers[place % len(answers)] for place in range(samples)]
    ends = [*range(window, samples, window), samples]
    decided = [
        end
        for end in ends
        if leader_stays(Counter(each for each in drawn[:end] if each is not None).values()) > stay_probability
    ]
    assert result.stats.rollouts == (decided[0] if decided else samples)
    assert result.stopped == ("decided" if decided else "finished")
    fixed = run(MajorityConfig(samples=result.stats.rollouts, in_flight=1), answers)
    assert (result.answer, result.confidence) == (fixed.answer, fixed.confidence)


@settings(max_examples=50)
@given(votes, st.integers(1, 12), st.integers(1, 4))
def test_esc_stops_at_the_first_full_window_that_agrees(answers: list[str | None], samples: int, window: int) -> None:
    result = run(ESCConfig(samples=samples, window=window), answers)
    drawn = [answers[place % len(answers)] for place in range(samples)]
    full = [place for place in range(0, samples, window) if place + window <= samples]
    agreed = [place for place in full if drawn[place] is not None and len(set(drawn[place : place + window])) == 1]
    assert result.stats.rollouts == (agreed[0] + window if agreed else samples)
    assert result.stopped == ("decided" if agreed else "finished")


def test_a_trajectory_without_an_answer_agrees_with_nothing() -> None:
    assert agree(["a", "a"])
    assert not agree(["a", None])
    assert not agree([None, None])


@pytest.mark.parametrize("config", [AdaptiveConsistencyConfig, ESCConfig])
def test_budgets_end_adaptive_sampling(config: type[SearchConfig]) -> None:
    result = run(config(max_generated_tokens=3), ["a", "b", "c", None])
    assert result.stopped == "max_generated_tokens"
    result = run(config(max_rollouts=3), ["a", "b", "c", None])
    assert (result.stopped, result.stats.rollouts) == ("max_rollouts", 3)
