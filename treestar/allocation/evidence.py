"""What the rollouts of one problem have told so far: all that allocation knows of it."""

from __future__ import annotations

from dataclasses import dataclass

from treestar.search import Search
from treestar.search.answer import mean_log_probability, trajectory_score
from treestar.search.config import SamplesConfig

__all__ = ["Evidence", "evidence_of"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The votes and the cost of a problem's rollouts."""

    votes: tuple[int, ...] = ()
    """Trajectories for each answer, in descending order."""
    rollouts: int = 0
    """Trajectories begun. Those without an answer have no vote."""
    tokens: int = 0
    """Tokens generated for them, by the policy and by a judge."""
    log_probability: float = 0.0
    """Mean over the answered trajectories of their log-probability per token; 0 without any."""
    score: float = 0.0
    """Mean over the answered trajectories of their PPM scores; 0 without a PPM."""
    closed: bool = False
    """Whether no trajectory can begin, for example because the question fills the model's context."""


def evidence_of(search: Search[SamplesConfig]) -> Evidence:
    """The evidence of a search of independent trajectories."""
    groups = [group.members for group in search.groups.groups]
    answered = [node for members in groups for node in members]
    return Evidence(
        votes=tuple(sorted(map(len, groups), reverse=True)),
        rollouts=search.tree.root.drawn if search.tree.nodes else 0,
        tokens=search.stats.spent_tokens,
        log_probability=sum(map(mean_log_probability, answered)) / max(len(answered), 1),
        score=sum(trajectory_score(node) or 0.0 for node in answered) / max(len(answered), 1),
        closed=bool(search.tree.nodes) and search.tree.root.terminal is not None,
    )
