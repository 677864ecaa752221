"""Adaptive branching: AB-MCTS-A (Inoue et al. 2025, arXiv 2503.04412, section 3.3) at the level of steps.

At each node a rollout either widens (samples one more step there) or goes deeper into an open child. Thompson sampling
decides: each option's value has a Beta posterior, one value is drawn from each, and the highest draw wins. The
observations are PPM scores mapped to [0, 1]. For widening they are those of the node's children (a step that was
sampled twice counts twice), for going deeper those of everything below the children, and for one child those of the
child and everything below it.

Invariant: a node's visits are the scored nodes of its subtree, itself included, and its value sum is that of their
scores. A rollout continues to a terminal node; a trajectory without an answer counts as a score of -1.
"""

from __future__ import annotations

from math import fsum, inf
from random import Random

from treestar.search.config import AdaptiveBranchingConfig
from treestar.search.expansion import Search
from treestar.search.mcts import backpropagate
from treestar.search.tree import Node

__all__ = ["adaptive_branching"]


async def adaptive_branching(search: Search[AdaptiveBranchingConfig]) -> str:
    """Run rollouts one after another; returns what ended the search."""
    most = inf if search.config.max_rollouts is None else search.config.max_rollouts
    while search.stats.rollouts < most:
        node, began = search.tree.root, search.stats.spent_tokens
        before: Node | None = None
        while node.terminal is None and node is not before:
            if (spent := search.budget_spent()) is not None:
                return spent
            before, node = node, choose_child(search, node) or await widen(search, node)
        if search.tree.root.terminal is not None:
            return "exhausted"
        if node.terminal is None and most == inf:
            return "exhausted"  # the policy proposes nothing more, and no budget of tokens would end that
        if search.only_tokens_end_it() and search.stats.spent_tokens == began:
            return "exhausted"  # it proposes only steps without any token
        search.stats.rollouts += 1
    return "finished"


def choose_child(search: Search[AdaptiveBranchingConfig], node: Node) -> Node | None:
    """The open child to go deeper into, or None to widen."""
    open_children = [child for child in node.children if child.terminal is None]
    if not open_children:
        return None
    prior, rng = search.config.beta_prior, Random(search.tree.choice_seed(node, search.stats.rollouts))
    draws = sum(child.multiplicity for child in node.children)
    of_children = fsum(child.multiplicity * own_value(child) for child in node.children)
    visits_below = sum(child.visits - 1 for child in open_children)
    below = fsum(child.value_sum - own_value(child) for child in open_children)
    if draw_value(rng, prior, draws, of_children) >= draw_value(rng, prior, visits_below, below):
        return None
    return max(open_children, key=lambda child: draw_value(rng, prior, child.visits, child.value_sum))


def draw_value(rng: Random, prior: float, visits: int, value_sum: float) -> float:
    """A value in [0, 1] from the Beta posterior after `visits` observations in [-1, 1] with the sum `value_sum`."""
    successes = (visits + value_sum) / 2.0
    return rng.betavariate(prior + successes, prior + visits - successes)


async def widen(search: Search[AdaptiveBranchingConfig], node: Node) -> Node:
    """Sample one step at `node`, and score and back up the child if it is new; returns the child, or `node` itself
    if the policy proposed none."""
    [growth] = await search.expand({node: 1}, merge=True, keep_failures=True)
    for child in growth.new:
        if child.terminal is None:
            await search.score([child])
        await search.finish([child])
        backpropagate(child, own_value(child))
    search.on_progress(search)
    return next((child for child in growth.draws if child is not None), node)


def own_value(node: Node) -> float:
    """The node's own score from when it was sampled, in [-1, 1]; -1 without one."""
    return -1.0 if node.score is None else node.score
