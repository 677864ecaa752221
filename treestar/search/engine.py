"""Runs the searches of many problems concurrently on one event loop, with one policy, executor and verifier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, TypeVar

from treestar.concurrency import gather_all
from treestar.search.adaptive_branching import adaptive_branching
from treestar.search.adaptive_consistency import adaptive_consistency
from treestar.search.answer import AnswerGroups, Weighting
from treestar.search.baselines import greedy, sample
from treestar.search.beam import beam, dvts
from treestar.search.chunk_reset import chunk_reset
from treestar.search.config import (
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
    TreeSearchConfig,
    WeightedVoteConfig,
)
from treestar.search.confirm import choose_confirmed
from treestar.search.deepconf import deepconf, weighted_by_confidence
from treestar.search.esc import esc
from treestar.search.expansion import Components, Search
from treestar.search.mcts import mcts
from treestar.search.result import SearchResult, TrajectoryStep
from treestar.search.tree import Node, Tree
from treestar.types import Problem

__all__ = [
    "STRATEGIES",
    "Progress",
    "check_scorer",
    "finish",
    "grown",
    "new_search",
    "search_many",
    "search_one",
    "strategy_of",
]

Progress = Callable[[Search[SearchConfig]], None]
"""Called after every wave of a search, with the search."""

ConfigT = TypeVar("ConfigT", bound=SearchConfig)

Strategy = Callable[[Search[Any]], Any]
"""Grows the tree of a search that has begun; an async function that returns what ended it."""

STRATEGIES: dict[str, tuple[type[SearchConfig], Strategy]] = {
    "mcts": (MCTSConfig, mcts),
    "greedy": (GreedyConfig, greedy),
    "best_of_n": (BestOfNConfig, sample),
    "majority": (MajorityConfig, sample),
    "weighted_vote": (WeightedVoteConfig, sample),
    "adaptive_consistency": (AdaptiveConsistencyConfig, adaptive_consistency),
    "esc": (ESCConfig, esc),
    "deepconf": (DeepConfConfig, deepconf),
    "beam": (BeamSearchConfig, beam),
    "dvts": (DVTSConfig, dvts),
    "adaptive_branching": (AdaptiveBranchingConfig, adaptive_branching),
    "chunk_reset": (ChunkResetConfig, chunk_reset),
}
"""Every strategy by name: its configuration class, and the function that grows the tree."""


async def search_many(
    problems: Sequence[Problem],
    config: SearchConfig,
    components: Components,
    seed: int = 0,
    concurrency: int = 64,
    stop: Event | None = None,
    on_progress: Progress = lambda _: None,
    on_result: Callable[[int, SearchResult], None] = lambda _index, _result: None,
) -> list[SearchResult]:
    """Search for the answers to `problems`, at most `concurrency` of them at the same time.

    Args:
        stop: can be set from any thread; every search then ends and returns what it has found.
        on_result: called with a problem's index and result as each finishes, in any order.

    Returns:
        One result for each problem, in the order of `problems`.

    Raises:
        ValueError: the strategy needs a PPM and `components` has none, or `concurrency` is less than 1.
        TreestarError: the policy or the executor failed permanently; results already given to `on_result` stay valid.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be a whole number, 1 or more, not {concurrency!r}")
    stop = stop or Event()
    places = asyncio.Semaphore(concurrency)

    async def solve(index: int, problem: Problem) -> SearchResult:
        async with places:
            result = await search_one(problem, config, components, seed, stop, on_progress)
            on_result(index, result)
            return result

    return await gather_all([solve(index, problem) for index, problem in enumerate(problems)])


async def search_one(
    problem: Problem,
    config: SearchConfig,
    components: Components,
    seed: int = 0,
    stop: Event | None = None,
    on_progress: Progress = lambda _: None,
) -> SearchResult:
    """Search for the answer to one problem; see `search_many`."""
    _, grow = strategy_of(config)
    search = new_search(problem, config, components, seed, stop, on_progress)
    return await finish(search, await grown(search, grow))


def new_search(
    problem: Problem,
    config: ConfigT,
    components: Components,
    seed: int = 0,
    stop: Event | None = None,
    on_progress: Progress = lambda _: None,
) -> Search[ConfigT]:
    """A search that has not begun; see `search_many`."""
    name, _ = strategy_of(config)
    check_scorer(name, components.scorer is not None)
    config = config.completed(components.policy.recommended)
    written = {"step_format": components.policy.step_format} if components.policy.step_format else {}
    tree = Tree(problem, name, {**config.to_json(), **written}, seed)
    return Search(config, components, tree, AnswerGroups(components.verifier), stop or Event(), on_progress)


async def grown(search: Search[ConfigT], grow: Strategy) -> str:
    """Open an interpreter for the search and let `grow` work with it; returns what ended that."""
    interpreter = await search.components.executor.open()
    try:
        await search.begin(interpreter)
        stopped: str = await grow(search)
        return stopped
    finally:
        await interpreter.close()


def strategy_of(config: SearchConfig) -> tuple[str, Strategy]:
    """The name and function of the strategy that `config` configures. Raises TypeError for any other object."""
    for name, (config_class, grow) in STRATEGIES.items():
        if type(config) is config_class:
            return name, grow
    known = ", ".join(config_class.__name__ for config_class, _ in STRATEGIES.values())
    raise TypeError(f"search must be one of {known}, not {type(config).__name__}")


def check_scorer(strategy: str, has_scorer: bool) -> None:
    """Raises ValueError if the strategy of that name needs a PPM and there is none."""
    config_class, _ = STRATEGIES[strategy]
    if config_class.ppm == "needed" and not has_scorer:
        raise ValueError(
            f"the strategy {strategy} needs a process preference model: name one with --scorer, in Python with `scorer`"
        )


async def finish(search: Search[SearchConfig], stopped: str) -> SearchResult:
    """Choose the answer, confirm it, and only then look at the gold one."""
    problem, policy = search.tree.problem, search.components.policy
    decision, search.stats.discarded = await choose_confirmed(
        search.groups, answer_choice(search.config), problem, search.components
    )
    search.stats.seconds = time.perf_counter() - search.started
    node, confidence, others = (decision.node, decision.confidence, decision.others) if decision else (None, 0.0, ())
    calibration = calibration_of(search)
    if node is not None and calibration is not None:
        confidence = calibration(confidence)
    answer = node.answer if node is not None else None
    correct = None
    if problem.answer is not None:
        correct = answer is not None and await search.components.verifier.accepts(problem, answer)

    def show(each: Node) -> TrajectoryStep:
        assert each.step is not None
        text, code = policy.display(problem, each.step.text), policy.display(problem, each.step.code)
        output = each.execution.error or each.execution.output
        return TrajectoryStep(text, code, output, each.q_value, each.visits, each.score)

    trajectory = tuple(show(each) for each in node.path()) if node is not None else ()
    return SearchResult(problem, answer, confidence, correct, trajectory, search.stats, stopped, search.tree, others)


def calibration_of(search: Search[SearchConfig]) -> Callable[[float], float] | None:
    """What the policy says of confidence in such a search; None if that is nothing."""
    policy, scorer = search.components.policy, search.components.scorer
    # A policy that does not inherit from `Policy` need not have calibrations, and a scorer need not have a name.
    found = getattr(policy, "calibrations", {}).get(search.tree.strategy)
    fitted_with = getattr(found, "scorer", None)
    return found if fitted_with in (None, "none" if scorer is None else getattr(scorer, "name", "")) else None


def answer_choice(config: SearchConfig) -> Weighting:
    if isinstance(config, TreeSearchConfig):
        return config.choice
    if isinstance(config, WeightedVoteConfig):
        return "weighted"
    if isinstance(config, DeepConfConfig):
        return weighted_by_confidence(config)
    return "best" if isinstance(config, BestOfNConfig) else "majority"
