"""Properties of all strategies guided by a PPM, and the votes over independent samples."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from math import exp
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import SlowPolicy, components, random_script

from treestar.search import (
    STRATEGIES,
    AdaptiveBranchingConfig,
    BeamSearchConfig,
    BestOfNConfig,
    DVTSConfig,
    MajorityConfig,
    MCTSConfig,
    Node,
    SearchConfig,
    SearchResult,
    Tree,
    WeightedVoteConfig,
    search_many,
    search_one,
)
from treestar.types import Problem, State, Step

PROBLEM = Problem("which?", answer="1")
GUIDED: list[SearchConfig] = [
    AdaptiveBranchingConfig(),
    BeamSearchConfig(),
    BestOfNConfig(),
    DVTSConfig(),
    MCTSConfig(children=4),
    WeightedVoteConfig(),
]


def score_of(state: State) -> float:
    """Depends on the whole path, like a PPM's score."""
    return (sum(map(ord, "".join(step.text for step in state.steps))) % 129 - 64) / 64


def run(config: SearchConfig, script, rate=score_of, seed: int = 0, **more: Any) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, rate), seed, **more))


@pytest.mark.parametrize(
    "name", [name for name, (config_class, _) in STRATEGIES.items() if config_class.ppm == "needed"]
)
def test_without_a_ppm_they_say_how_to_name_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs a process preference model: name one with --scorer"):
        run(STRATEGIES[name][0](), random_script(), None)


def misleading(state: State, n: int, seed: int) -> list[Step]:
    """Three steps and an answer. A first step in three is good, a later one in two; a bad one leads to the answer 0."""
    if len(state.steps) < 3:
        good = 3 if not state.steps else 2
        draws = [f"{'good' if (seed + i * 7919) % good == 0 else 'bad'}_{(seed + i) % 5} = 0" for i in range(n)]
        return [Step(text, text, tokens=3) for text in draws]
    right = all(step.text.startswith("good") for step in state.steps)
    return [Step(f"so {int(right)}", ending="answer", answer=str(int(right)), tokens=2)] * n


def pointing(state: State) -> float:
    """A PPM that recognizes bad steps, with some noise."""
    bad = any(step.text.startswith("bad") for step in state.steps)
    return (-0.9 if bad else 0.9) + score_of(state) / 10


@pytest.mark.parametrize("config", GUIDED, ids=lambda config: type(config).__name__)
def test_each_finds_the_answer_to_which_the_ppm_points(config: SearchConfig) -> None:
    problems = [Problem(f"which {i}?", "1") for i in range(12)]
    found: dict[bool, int] = {}
    for guided in (True, False):
        used = replace(config, max_generated_tokens=800) if guided else MajorityConfig(max_generated_tokens=800)
        used = replace(used, samples=1000) if hasattr(used, "samples") else used
        used = replace(used, max_rollouts=1000)
        parts = components(misleading, pointing)
        found[guided] = sum(bool(each.correct) for each in asyncio.run(search_many(problems, used, parts)))
    assert found[True] >= 8
    assert found[False] <= 2


@pytest.mark.parametrize("config", GUIDED, ids=lambda config: type(config).__name__)
def test_same_tree_alone_and_among_others(config: SearchConfig) -> None:
    problems = [Problem(f"question {i}", "1") for i in range(20)]
    parts = replace(components(random_script(), score_of), policy=SlowPolicy(random_script()))
    together = asyncio.run(search_many(problems, config, parts))
    for problem, result in zip(problems, together, strict=True):
        alone = asyncio.run(search_one(problem, config, components(random_script(), score_of)))
        assert alone.tree is not None
        assert result.tree is not None
        assert result.tree.to_json() == alone.tree.to_json()
    assert len({result.stats.generated_tokens for result in together}) > 1


@settings(max_examples=60)
@given(config=st.sampled_from(GUIDED), budget=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_budget_is_exceeded_by_no_more_than_one_wave(config: SearchConfig, budget: int, seed: int) -> None:
    largest_wave = 1 if isinstance(config, AdaptiveBranchingConfig) else 4 if isinstance(config, MCTSConfig) else 16
    waves: list[int] = []
    result = run(
        replace(config, max_generated_tokens=budget),
        random_script(),
        seed=seed,
        on_progress=lambda search: waves.append(search.stats.generated_tokens),
    )
    assert result.stats.generated_tokens < budget + largest_wave * 4  # a step has at most four tokens
    assert waves == sorted(waves)
    assert result.stats.scored_tokens > 0 or not any(node.answer for node in result.tree.nodes)  # type: ignore[union-attr]
    assert all(node.in_flight == 0 for node in result.tree.nodes)  # type: ignore[union-attr]


@pytest.mark.parametrize("config", GUIDED, ids=lambda config: type(config).__name__)
def test_interruption_ends_a_search_with_what_it_has(config: SearchConfig) -> None:
    stop = Event()

    def interrupt(search: Any) -> None:
        if search.stats.rollouts >= 3:
            stop.set()

    endless = replace(config, max_generated_tokens=1_000_000)
    endless = replace(endless, samples=1000, in_flight=2) if hasattr(config, "samples") else endless
    endless = replace(endless, max_rollouts=1000)
    result = run(endless, random_script(), stop=stop, on_progress=interrupt)
    assert (result.stopped, result.answer is not None) == ("interrupted", True)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), samples=st.integers(1, 30), in_flight=st.integers(1, 8))
def test_votes_over_samples_are_what_their_names_say(seed: int, samples: int, in_flight: int) -> None:
    trees = {}
    for config_class in (WeightedVoteConfig, BestOfNConfig, MajorityConfig):
        result = run(config_class(samples=samples, in_flight=in_flight), random_script(), seed=seed)
        assert result.tree is not None
        trees[config_class] = result.tree.to_json()["nodes"]
        ends = [node for node in result.tree.terminals() if node.answer is not None]
        if not ends:
            assert result.answer is None
            continue
        votes: Counter[str] = Counter()
        for node in ends:
            assert [each.score for each in node.path()] == [score_of(result.tree.state(each)) for each in node.path()]
            weight = exp(sum_of_scores(result.tree, node)) if config_class is WeightedVoteConfig else 1
            votes[str(node.answer)] += weight  # type: ignore[assignment]
        if config_class is BestOfNConfig:
            sums = {node: sum_of_scores(result.tree, node) for node in ends}
            own = [sums[node] for node in ends if node.answer == result.answer]
            assert max(own) == pytest.approx(max(sums.values()))
        else:
            assert votes[str(result.answer)] == pytest.approx(max(votes.values()))
            assert result.confidence == pytest.approx(votes[str(result.answer)] / votes.total() if votes.total() else 0)
    assert trees[WeightedVoteConfig] == trees[BestOfNConfig] == trees[MajorityConfig]


def sum_of_scores(tree: Tree, node: Node) -> float:
    return sum(score_of(tree.state(each)) for each in node.path())


def test_only_trajectories_with_an_answer_are_scored() -> None:
    """All their steps, and no others."""
    result = run(WeightedVoteConfig(samples=30), random_script(0.3, 0.4))
    assert result.tree is not None
    answered = {each for end in result.tree.nodes if end.answer is not None for each in end.path()}
    for node in result.tree.nodes:
        assert (node.score is not None) == (node in answered)
    scored = [node for node in result.tree.nodes if node.score is not None]
    assert result.stats.scored_tokens == sum(node.depth for node in scored)
