"""Chunk-reset reasoning (StepWiser; Xiong et al. 2025, arXiv 2508.19229, section 4.3).

Each step is judged as soon as it is written. A rejected one is discarded and sampled again at the same place, up to
`attempts` times; the last one is accepted whatever its score. So a trajectory continues only from steps that the scorer
accepts, and its tokens are those of one solution and of what was rejected. The paper does not say what happens after
its fifth attempt; accepting it is our reading.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf

from treestar.search.closing import end_without_answer
from treestar.search.config import ChunkResetConfig
from treestar.search.expansion import Search
from treestar.search.tree import Node

__all__ = ["chunk_reset"]


@dataclass(slots=True)
class Trajectory:
    """A trajectory in progress."""

    end: Node
    """The last accepted step; the root at first."""
    attempt: int = 1
    """The number of the next attempt at the step after it."""


async def chunk_reset(search: Search[ChunkResetConfig]) -> str:
    """Grow the trajectories, `in_flight` at a time; returns what ended it."""
    config, root = search.config, search.tree.root
    samples = config.samples or (1 if config.max_generated_tokens is None else inf)
    most = samples if config.max_rollouts is None else min(samples, config.max_rollouts)
    started = 0
    growing: list[Trajectory] = []
    while True:
        if (spent := search.budget_spent()) is not None:
            return spent
        while len(growing) < config.in_flight and started < most:
            started += 1
            growing.append(Trajectory(root))
        if not growing:
            return "finished"
        before = search.stats.spent_tokens
        grown = await search.expand(Counter(trajectory.end for trajectory in growing), merge=False, keep_failures=True)
        drawn = {growth.leaf: iter(growth.new) for growth in grown}
        if any(growth.leaf is root and not growth.new for growth in grown):
            most = started  # the policy proposes nothing more there
        if search.only_tokens_end_it() and search.stats.spent_tokens == before:
            most = started  # it proposes only steps without any token, and the budget would never be spent
        await search.score([child for growth in grown for child in growth.new if not has_failed(child)])
        finished, continuing = [], []
        for trajectory in growing:
            end = trajectory.end
            child = next(drawn[end], None)
            if child is None:  # nothing can follow
                # Several trajectories can begin at the root, and those that were given a step go on.
                if end.terminal is None and end is not root:
                    end_without_answer(end, "dead_end")
                finished.append(end)
            elif trajectory.attempt < config.attempts and not is_accepted(child, config.accept_from):
                reject(search, child)
                continuing.append(Trajectory(end, trajectory.attempt + 1))
            elif child.terminal is None:
                continuing.append(Trajectory(child))
            else:
                finished.append(child)
        growing = continuing
        search.stats.rollouts += len(finished)
        await search.finish(finished)
        search.on_progress(search)


def has_failed(child: Node) -> bool:
    """Whether the step itself is bad: its code failed, or the token limit cut it off."""
    return child.execution.error is not None or child.terminal in ("error", "truncated")


def is_accepted(child: Node, accept_from: float) -> bool:
    return not has_failed(child) and (child.score is None or child.score >= accept_from)


def reject(search: Search[ChunkResetConfig], child: Node) -> None:
    """Keep `child` in the tree as a discarded step, which nothing follows."""
    assert child.step is not None
    search.stats.rejected_tokens += child.step.tokens
    end_without_answer(child, "rejected")
