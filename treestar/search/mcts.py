"""Monte-Carlo tree search over reasoning steps (rStar-Math, section 3.2).

A rollout goes from the root to a terminal node: select among expanded nodes, expand the leaf, select among the new
children, and so on. Every terminal child that an expansion finds is backed up at once.
"""

from __future__ import annotations

from math import inf

from treestar.search.answer import trajectory_value
from treestar.search.closing import reopen
from treestar.search.config import MCTSConfig, settled
from treestar.search.expansion import Growth, Search
from treestar.search.selection import select_child
from treestar.search.tree import Node

__all__ = ["backpropagate", "mcts"]


async def mcts(search: Search[MCTSConfig]) -> str:
    """Run rollouts until a limit is reached, the tree is exhausted or the answer is decided; returns what ended it
    (`finished` if it was the number of rollouts)."""
    config, root = search.config, search.tree.root
    most, in_flight = inf if config.max_rollouts is None else config.max_rollouts, settled(config.in_flight)
    started = 0
    rollouts: list[Node] = []  # for each rollout in flight, the leaf it has reached
    while True:
        stopped = search.budget_spent()
        if stopped is None and (rollouts or started < most) and is_decided(search):
            stopped = "decided"
        # The number of rollouts is reached when none is in flight any more, which is seen below.
        if stopped is not None and stopped != "max_rollouts":
            for leaf in rollouts:
                leave(leaf)
            return stopped
        while len(rollouts) < in_flight and started < most and not root.closed:
            started += 1
            root.in_flight += 1
            rollouts += descend(search, root)
        if not rollouts:
            if not root.closed:
                return "finished"
            if started == most or not widen(search):
                return "exhausted"
            continue
        leaves = dict.fromkeys(rollouts, config.children)
        grown = await search.expand(leaves, merge=True, keep_failures=config.on_error == "penalize")
        for leaf in leaves:
            leaf.widening = False
        await evaluate(search, grown)
        rollouts = [leaf for reached in rollouts for leaf in descend(search, reached)]
        search.on_progress(search)


def descend(search: Search[MCTSConfig], node: Node) -> list[Node]:
    """Follow the selection rule from `node` to a leaf to expand; [] if the rollout has ended at a closed node."""
    config = search.config
    while node.children and not node.widening:
        child = select_child(node, config.rule, config.exploration, config.unvisited_value, config.virtual_loss)
        if child is None:
            break
        child.in_flight += 1
        node = child
    if node.closed:
        leave(node)
        search.stats.rollouts += 1
        return []
    return [node]


def widen(search: Search[MCTSConfig]) -> bool:
    """Reopen an exhausted tree at every node where the policy probably has steps that were not sampled yet; returns
    whether there is such a node. Only with a PPM: agreement would give steps that are sampled later less weight."""
    threshold = search.config.widen_above
    if threshold is None or search.components.scorer is None:
        return False
    for node in search.tree.nodes:
        if node.children and unseen_probability(node) > threshold and not search.one_is_enough(node):
            node.widening = True
            reopen(node)
    return not search.tree.root.closed


def unseen_probability(node: Node) -> float:
    """The probability that the next candidate sampled at `node` is new: what the distinct candidates drawn there leave
    over, or the share of candidates that were sampled once (Good 1953, Turing's estimate). Half a candidate is added to
    that share, so that it is never 0."""
    if node.times_drawn:
        return 1.0 - node.seen
    return (sum(child.multiplicity == 1 for child in node.children) + 0.5) / (node.drawn + 1)


def leave(node: Node | None) -> None:
    """Take a rollout off the path that leads to `node`."""
    while node is not None:
        node.in_flight -= 1
        node = node.parent


async def evaluate(search: Search[MCTSConfig], grown: list[Growth]) -> None:
    """Score the new nodes, and back up those that are terminal.

    The PPM initializes each new inner node, and not its ancestors: W = PPM(s), N = 1. Terminals only keep their score.
    """
    new = [child for growth in grown for child in growth.new]
    await search.score(new)
    for node in new:
        if node.score is not None and node.terminal is None:
            node.visits, node.value_sum = 1, node.score
    for growth in grown:
        for node in growth.new or [growth.leaf]:
            if node.terminal is not None:
                backpropagate(node, await terminal_value(search, node))


async def terminal_value(search: Search[MCTSConfig], node: Node) -> float:
    """The value of a finished trajectory, in [-1, 1]: by the gold answer if the search may use it, else by the PPM
    (`trajectory_value`), else by agreement with the tree's other trajectories. Without an answer it is -1."""
    if node.answer is None or node.terminal != "answer":
        search.groups.settle(node)
        return -1.0
    group = await search.groups.add(node)
    if search.config.gold and search.tree.problem.answer is not None:
        node.correct = await search.components.verifier.accepts(search.tree.problem, node.answer)
        return 1.0 if node.correct else -1.0
    value = trajectory_value(node)
    return search.groups.agreement(group) if value is None else value


def backpropagate(node: Node | None, value: float) -> None:
    """Add one visit and `value` to a terminal node and all its ancestors."""
    while node is not None:
        node.visits += 1
        node.value_sum += value
        node = node.parent


def is_decided(search: Search[MCTSConfig]) -> bool:
    """Whether further rollouts cannot change the answer, or the leader is confident enough."""
    config, groups = search.config, search.groups
    if not groups.groups:
        return False
    if (
        config.stop_confidence is not None
        and 1.0 - groups.open_mass >= config.stop_mass
        and max(map(groups.share, groups.groups)) >= config.stop_confidence
    ):
        return True
    weighs_by_mass = search.components.scorer is None and config.choice == "weighted"
    return config.early_stop and weighs_by_mass and groups.decided()
