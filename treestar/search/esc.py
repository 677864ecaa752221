"""Early-stopping self-consistency (Li et al. 2024, arXiv 2401.10480): majority voting that ends after a window of
trajectories that agree.

The answers of one window are compared only with each other. If they are all the same, more samples would hardly change
the vote. If no window agrees, the vote is that of all `samples` trajectories.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from treestar.search.baselines import grow_trajectories
from treestar.search.config import ESCConfig
from treestar.search.expansion import Search

__all__ = ["agree", "esc"]


async def esc(search: Search[ESCConfig]) -> str:
    """Sample window by window until all trajectories of one agree; returns what ended the search."""
    config, tree, groups = search.config, search.tree, search.groups
    stopped = "finished"
    while stopped == "finished" and tree.root.terminal is None and search.stats.rollouts < config.samples:
        before = len(tree.nodes)
        window = min(config.window, config.samples - search.stats.rollouts)
        stopped = await grow_trajectories(search, window, in_flight=window)
        ends = [node for node in tree.nodes[before:] if node.terminal is not None]
        answers = [None if node.answer is None else id(groups.group_of[node.answer]) for node in ends]
        if stopped == "finished" and len(answers) == config.window and agree(answers):
            return "decided"
    return stopped


def agree(answers: Sequence[Hashable | None]) -> bool:
    """Whether the trajectories of a window all have the same answer.

    Args:
        answers: what identifies the answer of each; None for a trajectory without one, which agrees with nothing.
    """
    return None not in answers and len(set(answers)) == 1
