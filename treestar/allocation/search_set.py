"""Searches a set of problems with one budget, round by round (`rounds.py`).

Each problem has one search of independent trajectories, which grows by one trajectory in each of its turns. So its
result is that of `majority` (or `best_of_n`, `weighted_vote`) with as many samples as it was given. Between turns a
search holds no interpreter: the set may be large.

Finished turns are kept as JSON values. A run that continues takes the turns it finds from there, and since rounds
depend on nothing but evidence, it continues as if it had never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from math import isfinite
from threading import Event
from typing import Any

from treestar.allocation.evidence import evidence_of
from treestar.allocation.gain import Gain
from treestar.allocation.rounds import Turn, check_total, next_round
from treestar.search import Budget, Components, Search, SearchConfig, SearchResult, SearchStats
from treestar.search.baselines import grow_trajectories
from treestar.search.closing import reopen
from treestar.search.config import SamplesConfig, settled
from treestar.search.engine import Progress, finish, grown, new_search
from treestar.search.expansion import share_priors
from treestar.search.tree import add_node_from_json, node_to_json
from treestar.types import Problem
from treestar.workers import LocalWorkers, Worker

__all__ = ["KeptTurn", "TurnKey", "check_config", "search_set"]

TurnKey = tuple[int, int]
"""A problem's index, and the rollouts that it had before."""

KeptTurn = dict[str, Any]
"""What one turn added to its search, as JSON values."""


def check_config(config: SearchConfig) -> SamplesConfig:
    """`config`, if a set can be searched with it. Raises ValueError."""
    if not isinstance(config, SamplesConfig):
        raise ValueError(
            "a total budget is spent on independent trajectories: use the strategy majority, best_of_n or weighted_vote"
        )
    if limits := config.limits():
        raise ValueError(f"with a total budget, leave out {limits[0]}: the limit of each problem is `samples`")
    return config


async def search_set(
    problems: Sequence[Problem],
    config: SamplesConfig,
    parts_for: Callable[[Problem], Components],
    total: Budget,
    gain: Gain,
    seed: int = 0,
    concurrency: int = 64,
    stop: Event | None = None,
    on_progress: Progress = lambda _: None,
    kept: Mapping[TurnKey, KeptTurn] | None = None,
    keep: Callable[[TurnKey, KeptTurn], None] = lambda _key, _turn: None,
) -> list[SearchResult]:
    """Search all `problems` within `total`.

    Args:
        config: `samples` is the maximum for each problem.
        parts_for: the components for a problem.
        total: the limits of all problems together. Rollouts and the policy's tokens are never exceeded; what a judge
            writes about the last trajectories can be more, and seconds are checked between rounds.
        gain: estimates what another rollout is worth; `vote_gain`, or that of a `DifficultyModel`.
        stop: can be set from any thread; the results are then those of the finished turns.
        kept: the turns of an earlier, interrupted run.
        keep: called with each finished turn.

    Returns:
        One result for each problem, in order; `stopped` is what ended the whole.

    Raises:
        ValueError: `config` has a budget for each problem.
        TreestarError: `total` is less than one step for each problem, or of tokens that the policy does not count; or
            as `search_many`.
    """
    stop, kept, started = stop or Event(), kept or {}, time.perf_counter()
    searches = [new_search(each, check_config(config), parts_for(each), seed, stop, on_progress) for each in problems]
    longest_step = max((settled(search.config.max_step_tokens) for search in searches), default=1)
    check_total(total, len(problems), longest_step)

    async def take(turn: Turn) -> None:
        search, key = searches[turn.place], (turn.place, turn.number)
        if key in kept:
            await replay(search, kept[key])
            return
        before = len(search.tree.nodes)
        if await roll_out(search, turn.max_tokens - longest_step + 1) != "interrupted":
            keep(key, {"nodes": list(map(node_to_json, search.tree.nodes[before:])), "stats": asdict(search.stats)})

    workers = LocalWorkers(Worker(take, {}), concurrency)
    stopped: str | None = None
    while stopped is None:
        stopped = "interrupted" if stop.is_set() else spent(total, searches, time.perf_counter() - started)
        evidence = [evidence_of(search) for search in searches]
        turns = [] if stopped else next_round(evidence, total, config.samples, longest_step, gain)
        if not turns and stopped is None:
            full = all(each.rollouts >= config.samples or each.closed for each in evidence)
            stopped = "finished" if full else "max_generated_tokens"
        await workers.run(turns, lambda _turn, _none: None)
    ended: str = stopped
    results: dict[int, SearchResult] = {}

    async def end(place: int) -> SearchResult:
        return await finish(searches[place], ended)

    await LocalWorkers(Worker(end, {}), concurrency).run(range(len(searches)), results.__setitem__)
    return [results[place] for place in range(len(searches))]


async def roll_out(search: Search[SamplesConfig], tokens: float) -> str:
    """Grow one more trajectory, which begins no step after that many tokens; returns what ended that."""
    config = search.config
    if isfinite(tokens):
        search.config = replace(config, max_generated_tokens=search.stats.spent_tokens + int(tokens))
    try:
        return await grown(search, partial(grow_trajectories, samples=1, in_flight=1))
    finally:
        search.config = config


async def replay(search: Search[SamplesConfig], turn: KeptTurn) -> None:
    """Grow a search by a kept turn, as if the turn had just been taken."""
    for each in turn["nodes"]:
        node = add_node_from_json(search.tree, each)
        if node.answer is not None:
            await search.groups.add(node)
    root = search.tree.root
    share_priors(root)
    root.drawn += 1
    if root.open_children:  # this trajectory was cut off, and those before it were not
        reopen(root)
    search.stats = SearchStats(**turn["stats"])


def spent(total: Budget, searches: Sequence[Search[SamplesConfig]], seconds: float) -> str | None:
    """The name of the limit that all searches together have reached, or None."""
    stats = [search.stats for search in searches]
    return total.spent(
        SearchStats(
            rollouts=sum(search.tree.root.drawn if search.tree.nodes else 0 for search in searches),
            generated_tokens=sum(each.generated_tokens for each in stats),
            judged_tokens=sum(each.judged_tokens for each in stats),
            executed_seconds=sum(each.executed_seconds for each in stats),
            seconds=seconds,
        )
    )
