"""How much another rollout is expected to help a problem, from its votes alone.

The truth is unknown, so an answer's share of the policy's trajectories stands for the chance that it is right: the
assumption that majority voting makes. A rollout helps where the votes may still turn to a likelier answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import comb, exp, lgamma

from treestar.allocation.evidence import Evidence

__all__ = ["Gain", "vote_gain"]

Gain = Callable[[Sequence[Evidence]], Sequence[float]]
"""The expected gain of one more rollout for each problem, in probability of a right answer."""

AHEAD = 8
"""Rollouts that the estimate looks ahead: one alone cannot change a vote that two have decided."""


def vote_gain(evidence: Sequence[Evidence]) -> list[float]:
    """The expected gain of one more rollout for each problem, in [0, 1].

    `share` of the rollouts are expected to vote for the leading answer or the second one, and decide between them
    (`duel_gain`). The chance that one of both is right is taken to be `share` too.
    """
    gains = []
    for each in evidence:
        first, second, *_ = [*each.votes, 0, 0]
        share = (first + second + 1) / (each.rollouts + 1)
        gains.append(share**2 * duel_gain(first, second))
    return gains


@cache
def duel_gain(first: int, second: int) -> float:
    """How much one further vote between two answers raises the expected share of the one that then leads.

    The first answer's share has the posterior Beta(first + 1, second + 1). This is the largest gain per vote over the
    next `AHEAD` votes, since fewer may be unable to change anything (Frazier and Powell 2010, KG*).
    """
    a, b = first + 1, second + 1
    now = max(a, b) / (a + b)
    return max((leading_share(a, b, votes) - now) / votes for votes in range(1, AHEAD + 1))


def leading_share(a: int, b: int, votes: int) -> float:
    """The expected share of the answer that leads after `votes` more votes, whose number for the first answer is
    beta-binomial with the parameters `a` and `b`."""
    return sum(
        beta_binomial(votes, won, a, b) * max(a + won, b + votes - won) / (a + b + votes) for won in range(votes + 1)
    )


def beta_binomial(votes: int, won: int, a: int, b: int) -> float:
    return comb(votes, won) * exp(log_beta(a + won, b + votes - won) - log_beta(a, b))


def log_beta(a: int, b: int) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
