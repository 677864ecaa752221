"""The baselines that search is measured against: independent trajectories, grown step by step in parallel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from treestar.search.closing import end_without_answer
from treestar.search.config import GreedyConfig, SamplesConfig, WindowsConfig
from treestar.search.expansion import Search
from treestar.search.tree import Node

__all__ = ["greedy", "grow_trajectories", "sample", "unchanged_sampling"]


async def greedy(search: Search[GreedyConfig]) -> str:
    """Grow the one most probable trajectory; returns what ended it."""
    return await grow_trajectories(search, samples=1, in_flight=1)


async def sample(search: Search[SamplesConfig]) -> str:
    """Grow `samples` independent trajectories, `in_flight` at a time; returns what ended it."""
    return await grow_trajectories(search, search.config.samples, search.config.in_flight)


async def grow_trajectories(
    search: Search[GreedyConfig] | Search[SamplesConfig] | Search[WindowsConfig],
    samples: int,
    in_flight: int,
    is_unsure: Callable[[Node], bool] = lambda _: False,
) -> str:
    """Grow `samples` more trajectories; returns what ended that, `finished` if they did.

    Args:
        is_unsure: whether to give up on the trajectory up to a node; it then ends there without an answer.
    """
    root, limit = search.tree.root, search.config.max_rollouts
    most = samples if limit is None else min(samples, limit - search.stats.rollouts)
    started = 0
    ends: list[Node] = []  # the last node of each trajectory in flight; a new one starts at the root
    while True:
        if (spent := search.budget_spent()) is not None:
            return spent
        fresh = min(in_flight - len(ends), most - started)
        started += fresh
        ends += [root] * fresh
        if not ends:
            return "finished"
        wanted = Counter(ends)
        grown = await search.expand(wanted, merge=False, keep_failures=True)
        reached = [node for growth in grown for node in growth.new or ended_at(growth.leaf)]
        for node in reached:
            if node.terminal in (None, "answer") and is_unsure(node):
                end_without_answer(node, "unsure")
        ends = [node for node in reached if node.terminal is None]
        finished = [node for node in reached if node.terminal is not None]
        search.stats.rollouts += len(finished)
        await search.finish(finished)
        if root.terminal is not None:
            return "finished"
        # A policy can propose fewer steps than it was asked for: these trajectories end where they began.
        search.stats.rollouts += max(wanted.total() - len(reached), 0)
        search.on_progress(search)


def ended_at(leaf: Node) -> list[Node]:
    """The leaf, if nothing can follow it; the root can have children from before."""
    return [] if leaf.terminal is None else [leaf]


def unchanged_sampling(
    count: int, temperature: float, max_depth: int | None, max_step_tokens: int | None
) -> SamplesConfig:
    """A search of `count` trajectories by the policy as it is: only the temperature changes probabilities."""
    return SamplesConfig(
        samples=count,
        in_flight=count,
        temperature=temperature,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        max_depth=max_depth,
        max_step_tokens=max_step_tokens,
    )
