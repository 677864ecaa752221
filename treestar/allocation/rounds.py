"""Which problems get the next rollouts. Pure: equal evidence gives equal rounds, so a run can be repeated or resumed.

First every problem gets one rollout. Then, round by round, the problems with the largest expected gain per token get
one more each. A round takes at most a `ROUND_SHARE`-th of the problems, so that the evidence stays fresh.

Invariant: the policy's tokens in all turns never exceed the total. Each turn has its own limit, and the limits of a
round add up to what is left. A problem takes a turn only while a trajectory fits into its limit that is as long as the
mean trajectory of the problem with the longest ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from treestar.allocation.evidence import Evidence
from treestar.allocation.gain import Gain
from treestar.search import Budget
from treestar.types import TreestarError

__all__ = ["Turn", "check_total", "next_round"]

ROUND_SHARE = 16


@dataclass(frozen=True, slots=True)
class Turn:
    """One rollout for a problem."""

    place: int
    """The problem's index."""
    number: int
    """Rollouts that the problem had before."""
    max_tokens: float
    """Maximum number of tokens for it, infinity without a token budget."""


def check_total(total: Budget, problems: int, longest_step: int) -> None:
    """Raises TreestarError if `total` does not allow one step for each problem."""
    tokens, rollouts = total.max_generated_tokens, total.max_rollouts
    if tokens is not None and tokens < problems * longest_step:
        raise TreestarError(
            f"{tokens:,} tokens in total are not enough for {problems:,} problems: each gets at least one rollout, "
            f"of at least one step of up to {longest_step:,} tokens; raise the total, or lower max_step_tokens"
        )
    if rollouts is not None and rollouts < problems:
        raise TreestarError(
            f"{rollouts:,} rollouts in total are not enough for {problems:,} problems: each gets at least one; raise "
            "the total"
        )


def next_round(evidence: Sequence[Evidence], total: Budget, most: int, longest_step: int, gain: Gain) -> list[Turn]:
    """The turns of the next round, which can run at the same time; none if the budget is spent or no problem may have
    more.

    Args:
        evidence: of every problem.
        total: the limits of all problems together; those in seconds are the caller's to check.
        most: maximum number of rollouts of one problem.
        longest_step: maximum tokens of one step.
    """
    tokens = inf if total.max_generated_tokens is None else total.max_generated_tokens
    left = tokens - sum(each.tokens for each in evidence)
    rollouts = inf if total.max_rollouts is None else total.max_rollouts
    rollouts -= sum(each.rollouts for each in evidence)
    chosen = [place for place, each in enumerate(evidence) if each.rollouts == 0]
    if not chosen:
        longest = max((each.tokens / each.rollouts for each in evidence), default=0.0)
        room = min(len(evidence) // ROUND_SHARE + 1, left // (longest + longest_step), rollouts)
        chosen = most_helped(evidence, most, gain)[: max(int(room), 0)]
    limit = left // len(chosen) if chosen and left < inf else left
    return [Turn(place, evidence[place].rollouts, limit) for place in chosen]


def most_helped(evidence: Sequence[Evidence], most: int, gain: Gain) -> list[int]:
    """The problems that may have more rollouts, those with the largest expected gain per token first. Ties go to the
    problem with fewer rollouts, then to the earlier one."""
    gains = gain(evidence)
    rates = [each_gain * each.rollouts / max(each.tokens, 1) for each_gain, each in zip(gains, evidence, strict=True)]
    places = [place for place, each in enumerate(evidence) if each.rollouts < most and not each.closed]
    return sorted(places, key=lambda place: (-rates[place], evidence[place].rollouts, place))
