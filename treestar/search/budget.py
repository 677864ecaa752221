"""The budget of one search. The names of the limits are the same in Python, YAML, HTTP and on the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from treestar.config.checks import check_number, check_whole, invalid
from treestar.config.renamed import AcceptsOldNames
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.search.result import SearchStats

__all__ = ["Budget", "check_ends", "uncounted_tokens"]


@dataclass(frozen=True, kw_only=True)
class Budget(AcceptsOldNames):
    """The limits of one search; None means unlimited. They are checked between waves of expansions, so the last wave
    can exceed them. A search that reaches a limit selects its answer from what it has found so far.

    Raises:
        ValueError: a limit is out of its range; the message names the field, the value and what is allowed.
    """

    max_generated_tokens: int | None = None
    """Stop once the policy, and a judge if the scorer is one, have generated this many tokens."""
    max_executed_seconds: float | None = None
    """Stop once steps have run this many seconds in the sandbox. Steps of prose run nothing, so a search that could go
    on forever needs another limit too."""
    max_wall_seconds: float | None = None
    """Stop after this many seconds."""
    max_rollouts: int | None = None
    """Stop after this many finished trajectories. By default 16 rollouts (passes from the root to a terminal node) with
    mcts and adaptive_branching, and unlimited with the other strategies."""

    def __post_init__(self) -> None:
        check_whole(self, "max_generated_tokens", "max_rollouts")
        check_number(self, "max_executed_seconds", "max_wall_seconds", above=0)

    def limits(self) -> list[str]:
        """The names of the limits that are set."""
        return [each.name for each in fields(Budget) if getattr(self, each.name) is not None]

    def ends(self) -> list[str]:
        """The names of the limits that are set and that every search reaches: steps can go on without running code."""
        return [name for name in self.limits() if name != "max_executed_seconds"]

    def spent(self, stats: SearchStats) -> str | None:
        """The name of the limit that `stats` have reached, or None. Rollouts come last: if another limit is also
        reached, that one is returned."""
        if self.max_generated_tokens is not None and stats.spent_tokens >= self.max_generated_tokens:
            return "max_generated_tokens"
        if self.max_executed_seconds is not None and stats.executed_seconds >= self.max_executed_seconds:
            return "max_executed_seconds"
        if self.max_wall_seconds is not None and stats.seconds >= self.max_wall_seconds:
            return "max_wall_seconds"
        if self.max_rollouts is not None and stats.rollouts >= self.max_rollouts:
            return "max_rollouts"
        return None


def check_ends(budget: Budget) -> None:
    """A search that has neither a number of rollouts nor another limit that every search reaches might not end."""
    if budget.ends():
        return
    why = " (steps that run no code never reach max_executed_seconds)" if budget.limits() else ""
    needed = f"a whole number, 1 or more, if neither max_generated_tokens nor max_wall_seconds is given{why}"
    raise invalid(budget, "max_rollouts", needed)


def uncounted_tokens(policy: str) -> TreestarError:
    """The error for a budget of tokens and a policy of that name which counts none."""
    return TreestarError(
        f"{policy} does not count the tokens that it generates, so max_generated_tokens cannot end its searches: set "
        "Proposal.generated_tokens, max_rollouts or max_wall_seconds"
    )
