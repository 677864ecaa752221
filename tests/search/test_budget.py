"""One budget for every strategy: what it allows, and what a search reports at a limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.scripted import components, random_script

from treestar import (
    AdaptiveBranchingConfig,
    BeamSearchConfig,
    Budget,
    DVTSConfig,
    MajorityConfig,
    MCTSConfig,
    SearchResult,
)
from treestar.search import AdaptiveConsistencyConfig, ChunkResetConfig, SearchConfig, SearchStats, search_one
from treestar.types import Problem, State, Step, TreestarError

SPENT = SearchStats(rollouts=2, generated_tokens=10, executed_seconds=0.5, seconds=3.0)


def run(config: SearchConfig, **parts: Any) -> SearchResult:
    return asyncio.run(search_one(Problem("which?", "1"), config, components(random_script(), **parts)))


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({}, None),
        ({"max_generated_tokens": 11, "max_executed_seconds": 0.6, "max_wall_seconds": 3.1, "max_rollouts": 3}, None),
        ({"max_generated_tokens": 10}, "max_generated_tokens"),
        ({"max_executed_seconds": 0.5}, "max_executed_seconds"),
        ({"max_wall_seconds": 3}, "max_wall_seconds"),
        ({"max_rollouts": 2}, "max_rollouts"),
        ({"max_rollouts": 2, "max_wall_seconds": 1}, "max_wall_seconds"),
    ],
)
def test_the_limit_that_is_reached_is_named(limits: dict[str, Any], name: str | None) -> None:
    assert Budget(**limits).spent(SPENT) == name


@pytest.mark.parametrize(
    "limits",
    [
        {"max_generated_tokens": 0},
        {"max_rollouts": 1.5},
        {"max_executed_seconds": -1},
        {"max_wall_seconds": float("inf")},
        {"max_wall_seconds": "5"},
    ],
)
def test_what_is_no_limit_is_refused(limits: dict[str, Any]) -> None:
    [(name, value)] = limits.items()
    with pytest.raises(ValueError, match=f"Budget.{name} must be .* not {value!r}"):
        Budget(**limits)


def test_sampling_starts_no_more_trajectories_than_rollouts_are_allowed() -> None:
    result = run(MajorityConfig(samples=16, max_rollouts=5))
    assert (result.stats.rollouts, result.stopped) == (5, "max_rollouts")
    assert result.tree is not None
    assert len(result.tree.root.children) == 5


@pytest.mark.parametrize("config_class", [BeamSearchConfig, DVTSConfig])
def test_beams_end_once_enough_trajectories_are_finished(config_class: type[SearchConfig]) -> None:
    result = run(config_class(rounds=50, max_rollouts=3), rate=lambda state: 0.5)  # type: ignore[call-arg]
    assert result.stopped == "max_rollouts"
    assert result.stats.rollouts >= 3


def test_a_search_that_has_done_its_rollouts_is_finished() -> None:
    for config in (MCTSConfig(max_rollouts=4, early_stop=False), AdaptiveBranchingConfig(max_rollouts=4)):
        result = run(config, rate=lambda state: 0.5)
        assert (result.stats.rollouts, result.stopped) == (4, "finished")


@pytest.mark.parametrize("config_class", [MCTSConfig, AdaptiveBranchingConfig])
def test_without_a_number_of_rollouts_another_limit_ends_the_search(config_class: type[SearchConfig]) -> None:
    with pytest.raises(ValueError, match=r"max_rollouts must be a whole number, .* if neither .* is given, not"):
        config_class(max_rollouts=None)
    result = run(config_class(max_rollouts=None, max_generated_tokens=8000), rate=lambda state: 0.5)
    assert result.stopped in ("max_generated_tokens", "exhausted")
    assert result.stats.rollouts > 16


@pytest.mark.parametrize(
    "config",
    [
        BeamSearchConfig(max_generated_tokens=100),
        ChunkResetConfig(max_generated_tokens=100),
        AdaptiveBranchingConfig(max_rollouts=None, max_generated_tokens=100),
        MajorityConfig(max_generated_tokens=100),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_policy_that_counts_no_tokens_is_not_searched_within_a_number_of_them(config: SearchConfig) -> None:
    """It would be searched forever."""

    def uncounted(state: State, n: int, seed: int) -> list[Step]:
        return [Step(f"so {i}", ending="answer", answer=str(i)) for i in range(n)]

    parts = components(uncounted, lambda state: 0.5)
    with pytest.raises(TreestarError, match="scripted does not count the tokens that it generates"):
        asyncio.run(search_one(Problem("which?"), config, parts))
    asyncio.run(search_one(Problem("which?"), replace(config, max_rollouts=3), parts))


@pytest.mark.parametrize(
    "config",
    [
        MajorityConfig(samples=8, in_flight=2),
        AdaptiveConsistencyConfig(samples=8),
        BeamSearchConfig(max_generated_tokens=100),
        ChunkResetConfig(samples=8),
        AdaptiveBranchingConfig(max_rollouts=8),
        AdaptiveBranchingConfig(max_rollouts=None, max_generated_tokens=100),
        MCTSConfig(max_rollouts=8),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_policy_that_has_no_more_to_propose_ends_the_search(config: SearchConfig) -> None:
    left, proposals = [3], [0]

    def few(state: State, n: int, seed: int) -> list[Step]:
        proposals[0] += 1
        assert proposals[0] < 100
        given = min(n, left[0])
        left[0] -= given
        return [Step("so 1", ending="answer", answer="1", tokens=1)] * given

    parts = components(few, lambda state: 0.5)
    result = asyncio.run(asyncio.wait_for(search_one(Problem("which?"), config, parts), 20))
    assert result.answer == "1"
    assert left == [0]


@pytest.mark.parametrize("config_class", [MCTSConfig, AdaptiveBranchingConfig])
def test_seconds_of_execution_alone_do_not_limit_a_search(config_class: type[SearchConfig]) -> None:
    """Steps of prose run nothing, so it would go on forever."""
    with pytest.raises(ValueError, match=r"if neither max_generated_tokens nor .* never reach max_executed_seconds\)"):
        config_class(max_rollouts=None, max_executed_seconds=1)
    config_class(max_rollouts=None, max_executed_seconds=1, max_wall_seconds=1)


@pytest.mark.parametrize("more", [{}, {"max_executed_seconds": 1}], ids=["tokens", "tokens and seconds of execution"])
@pytest.mark.parametrize(
    "config",
    [
        MCTSConfig(max_rollouts=None, max_generated_tokens=100),
        AdaptiveBranchingConfig(max_rollouts=None, max_generated_tokens=100),
        BeamSearchConfig(max_generated_tokens=100),
        ChunkResetConfig(max_generated_tokens=100),
    ],
    ids=lambda config: type(config).__name__,
)
@pytest.mark.parametrize("tokens_first", [0, 2])
def test_steps_without_tokens_end_a_search_that_only_tokens_limit(
    config: SearchConfig, more: dict[str, Any], tokens_first: int
) -> None:
    proposals = [0]

    def empty(state: State, n: int, seed: int) -> list[Step]:
        proposals[0] += 1
        assert proposals[0] < 1000
        return [Step("", tokens=tokens_first if proposals[0] == 1 else 0)] * n

    result = asyncio.run(search_one(Problem("which?"), replace(config, **more), components(empty, lambda state: 0.5)))
    assert result.stopped in ("exhausted", "finished")


def test_a_trajectory_that_is_given_no_step_has_ended() -> None:
    result = asyncio.run(
        search_one(
            Problem("which?"),
            MajorityConfig(samples=4, in_flight=4),
            components(lambda state, n, seed: [Step("so 1", ending="answer", answer="1", tokens=1)] * (n - 1)),
        )
    )
    assert (result.stats.rollouts, result.confidence, result.stopped) == (4, 1.0, "finished")
