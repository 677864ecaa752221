"""Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860): majority voting that samples no more than the votes
need.

Trajectories are sampled one after another, or a few at a time. After each the Beta criterion asks how probable it is
that the policy prefers the leading answer to the second one. Once that is above `stay_probability`, sampling stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

from treestar.search.baselines import grow_trajectories
from treestar.search.config import AdaptiveConsistencyConfig
from treestar.search.expansion import Search

__all__ = ["adaptive_consistency", "leader_stays"]


async def adaptive_consistency(search: Search[AdaptiveConsistencyConfig]) -> str:
    """Sample until the leading answer will probably stay ahead; returns what ended the search."""
    config, root = search.config, search.tree.root
    stopped = "finished"
    while stopped == "finished" and root.terminal is None and search.stats.rollouts < config.samples:
        window = min(config.window, config.samples - search.stats.rollouts)
        stopped = await grow_trajectories(search, window, in_flight=window)
        if leader_stays(len(group.members) for group in search.groups.groups) > config.stay_probability:
            return "decided"
    return stopped


def leader_stays(votes: Iterable[int]) -> float:
    """The probability that the policy gives the answer with most votes more often than the second, in [0, 1].

    The share of the leading answer among both has the posterior Beta(v1 + 1, v2 + 1), from a uniform prior. This is its
    tail above 1/2, 1 - I_{1/2}(v1 + 1, v2 + 1): for whole numbers, the probability of at most v1 heads in v1 + v2 + 1
    tosses of a fair coin. 1/2 without votes, because nothing is known.

    Args:
        votes: of each answer.
    """
    first, second, *_ = [*sorted(votes, reverse=True), 0, 0]
    tosses = first + second + 1
    return sum(comb(tosses, heads) for heads in range(first + 1)) / (1 << tosses)
