"""Strategies that are the same by their definitions, in the settings in which they are."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Script, components, path_texts, random_script

from treestar.search import (
    STRATEGIES,
    AdaptiveBranchingConfig,
    AdaptiveConsistencyConfig,
    BeamSearchConfig,
    BestOfNConfig,
    ChunkResetConfig,
    DeepConfConfig,
    DVTSConfig,
    ESCConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    SearchConfig,
    SearchResult,
    WeightedVoteConfig,
    search_one,
)
from treestar.types import ContextOverflow, Problem, State, Step

PROBLEM = Problem("which?", answer="1")

seeds = st.integers(0, 2**32)
shares = st.sampled_from([0.1, 0.3, 0.7])


def run(config: SearchConfig, script: Script, seed: int, score: float = 0.0, of_paths: bool = False) -> SearchResult:
    parts = components(script, lambda _: score, of_paths)
    return asyncio.run(search_one(PROBLEM, config, parts, seed))


def trajectories(result: SearchResult) -> list[Any]:
    assert result.tree is not None
    return [(path_texts(node), node.answer, node.terminal) for node in result.tree.nodes]


def shares_of(result: SearchResult) -> Any:
    """The share of each answer, the chosen one first."""
    chosen = [] if result.answer is None else [(result.answer, result.confidence)]
    answers = [*chosen, *result.other_answers]
    return [answer for answer, _ in answers[:1]], {answer: round(share, 9) for answer, share in answers}


def equally_sure(script: Script) -> Script:
    """The same steps, whose tokens all have the same confidence."""

    def sure(state: State, n: int, seed: int) -> list[Step]:
        return [replace(step, confidences=(1.0,) * step.tokens) for step in script(state, n, seed)]

    return sure


ONE_TRAJECTORY: list[SearchConfig] = [
    MajorityConfig(samples=1),
    BestOfNConfig(samples=1),
    WeightedVoteConfig(samples=1),
    AdaptiveConsistencyConfig(samples=1),
    ESCConfig(samples=1),
    DeepConfConfig(samples=1),
    ChunkResetConfig(attempts=1),
    BeamSearchConfig(beam_width=1, children=1),
    DVTSConfig(subtrees=1, children=1),
    AdaptiveBranchingConfig(max_rollouts=1),
    MCTSConfig(max_rollouts=1, children=1),
]


@settings(max_examples=30)
@given(seeds, shares)
def test_every_strategy_with_one_trajectory_is_a_sample(seed: int, share: float) -> None:
    """The policy of this test draws the same step whatever the temperature, so greedy is a sample too."""
    script = equally_sure(random_script(share))
    sample = run(GreedyConfig(), script, seed)
    for config in ONE_TRAJECTORY:
        result = run(config, script, seed)
        assert (result.answer, result.correct, result.confidence) == (sample.answer, sample.correct, sample.confidence)
        assert [step.text for step in result.trajectory] == [step.text for step in sample.trajectory]
        assert result.stats.generated_tokens == sample.stats.generated_tokens


@settings(max_examples=60)
@given(seeds, shares, st.integers(1, 20), st.integers(1, 6))
def test_equal_weights_are_a_majority(seed: int, share: float, samples: int, in_flight: int) -> None:
    script = equally_sure(random_script(share))
    majority = run(MajorityConfig(samples=samples, in_flight=in_flight), script, seed)
    same = {
        "of steps": run(WeightedVoteConfig(samples=samples, in_flight=in_flight), script, seed),
        "of paths": run(WeightedVoteConfig(samples=samples, in_flight=in_flight), script, seed, 0.7, of_paths=True),
        "accepting all": run(ChunkResetConfig(samples=samples, in_flight=in_flight, attempts=1), script, seed),
    }
    for result in same.values():
        assert trajectories(result) == trajectories(majority)
        assert shares_of(result) == shares_of(majority)


@settings(max_examples=60)
@given(seeds, shares, st.integers(1, 20))
def test_one_window_is_a_majority(seed: int, share: float, samples: int) -> None:
    script = equally_sure(random_script(share))
    majority = run(MajorityConfig(samples=samples, in_flight=samples), script, seed)
    for config in (
        AdaptiveConsistencyConfig(samples=samples, window=samples),
        ESCConfig(samples=samples, window=samples),
        ESCConfig(samples=samples, window=samples + 1),
        DeepConfConfig(samples=samples, warmup=samples, keep_share=1.0),
    ):
        result = run(config, script, seed)
        assert trajectories(result) == trajectories(majority)
        assert shares_of(result) == shares_of(majority)


@settings(max_examples=60)
@given(seeds, shares, st.integers(1, 20))
def test_a_tree_of_single_steps_is_a_majority(seed: int, share: float, children: int) -> None:
    """The candidates of the root are samples: merged ones count as often as they were drawn."""
    script = random_script(share)
    majority = run(MajorityConfig(samples=children, in_flight=children, max_depth=1), script, seed)
    for config in (
        BeamSearchConfig(beam_width=1, children=children, max_depth=1),
        MCTSConfig(max_rollouts=1, children=children, max_depth=1),
    ):
        assert shares_of(run(config, script, seed)) == shares_of(majority)


@settings(max_examples=60)
@given(seeds, shares, st.integers(1, 5), st.integers(1, 3), st.floats(-1, 1))
def test_one_subtree_is_a_beam_of_width_one(seed: int, share: float, children: int, rounds: int, score: float) -> None:
    script = random_script(share, distinct=5)
    beam = run(BeamSearchConfig(beam_width=1, children=children, rounds=rounds), script, seed, score)
    dvts = run(DVTSConfig(subtrees=1, children=children, rounds=rounds), script, seed, score)
    assert beam.tree is not None
    assert dvts.tree is not None
    assert dvts.tree.to_json()["nodes"] == beam.tree.to_json()["nodes"]
    assert (dvts.answer, dvts.confidence, dvts.stopped) == (beam.answer, beam.confidence, beam.stopped)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_question_that_fills_the_context_has_no_answer(name: str) -> None:
    def overflow(state: State, n: int, seed: int) -> list[Step]:
        raise ContextOverflow("too long")

    config, _ = STRATEGIES[name]
    for limits in ({}, {"max_generated_tokens": 50}):
        result = run(config(**limits), overflow, seed=0)
        assert (result.answer, result.confidence, result.correct) == (None, 0.0, False)
        assert trajectories(result) == [((), None, "context")]
