"""Selection rules: pure functions of a child's statistics, and the argmax over a node's open children."""

from __future__ import annotations

from math import inf, log, sqrt
from typing import Literal

from treestar.search.tree import Node

__all__ = ["Rule", "puct", "select_child", "uct"]

Rule = Literal["uct", "puct"]


def uct(value_sum: float, visits: int, parent_visits: int, exploration: float) -> float:
    """UCT(s) = Q(s) + c sqrt(ln N(parent) / N(s)) (Kocsis and Szepesvari 2006; rStar-Math, equation 1).

    Args:
        value_sum: W(s).
        visits: N(s), at least 1.
        parent_visits: N(parent); 0 counts as 1 (a parent that no PPM score initialized).
        exploration: c >= 0.
    """
    return value_sum / visits + exploration * sqrt(log(max(parent_visits, 1)) / visits)


def puct(q_value: float, visits: int, parent_visits: int, prior: float, exploration: float) -> float:
    """PUCT(s) = Q(s) + c P(s) sqrt(N(parent)) / (1 + N(s)) (AlphaZero; Silver et al. 2017)."""
    return q_value + exploration * prior * sqrt(parent_visits) / (1 + visits)


def select_child(
    node: Node, rule: Rule, exploration: float, unvisited_value: float = inf, virtual_loss: int = 1
) -> Node | None:
    """The open child that maximizes `rule`, the first of them on a tie; None if no child is open.

    Every other rollout that is now below a child counts there as `virtual_loss` visits of value -1. A child without
    visits gets `unvisited_value`: as its whole UCT value, as its Q in PUCT.
    """
    best: Node | None = None
    best_value = -inf
    # This rollout is itself at `node`, so it does not count as another one below it.
    parent_visits = node.visits + virtual_loss * max(node.in_flight - 1, 0)
    for child in node.children:
        if child.closed:
            continue
        visits = child.visits
        value_sum = child.value_sum
        if child.in_flight:
            visits += virtual_loss * child.in_flight
            value_sum -= virtual_loss * child.in_flight
        if rule == "puct":
            q_value = value_sum / visits if visits else unvisited_value
            value = puct(q_value, visits, parent_visits, child.prior, exploration)
        elif visits:
            value = uct(value_sum, visits, parent_visits, exploration)
        else:
            value = unvisited_value
        if value == inf:
            return child  # no later child can be better, and ties go to the first
        if best is None or value > best_value:
            best, best_value = child, value
    return best
