"""What a search returns, and its JSON form (the `--json` object of `treestar solve`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from treestar.search.tree import TerminalReason, Tree
from treestar.types import Problem

__all__ = ["SearchResult", "SearchStats", "TrajectoryStep"]


@dataclass(slots=True)
class SearchStats:
    """What one search cost."""

    rollouts: int = 0
    nodes: int = 0
    """Nodes of the tree, the root included."""
    executions: int = 0
    """Steps run in the sandbox."""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    scored_tokens: int = 0
    """Tokens that the PPM read."""
    judged_tokens: int = 0
    """Tokens that a judge generated; `generated_tokens` are the policy's alone."""
    rejected_tokens: int = 0
    """Those of `generated_tokens` that are in steps which `chunk_reset` discarded."""
    cut_off: int = 0
    """Candidates that a token limit cut off, so that they have no answer."""
    failed: int = 0
    """Candidates whose code failed, or that ended their trajectory without stating an answer."""
    too_long: int = 0
    """Trajectories that reached `max_depth` steps, or the end of the policy's context, before an answer."""
    executed_seconds: float = 0.0
    discarded: int = 0
    """Trajectories that were chosen and then discarded, because they gave other results when run again."""
    seconds: float = 0.0
    """Wall time from the search's start to its end; searches that run at the same time share the machine."""

    def count_end(self, reason: TerminalReason | None, times: int = 1) -> None:
        """Count candidates or trajectories that ended for this reason, if it is one to have no answer."""
        self.cut_off += times * (reason == "truncated")
        self.failed += times * (reason == "error")
        self.too_long += times * (reason in ("max_depth", "context"))

    @property
    def spent_tokens(self) -> int:
        """What a budget of tokens counts: all tokens that the policy and a judge generated."""
        return self.generated_tokens + self.judged_tokens


@dataclass(frozen=True, slots=True)
class TrajectoryStep:
    """One step of the chosen trajectory in readable form: with the question's values in place of names."""

    text: str
    code: str
    output: str
    """What its code printed; where it failed, the error that the policy was shown instead."""
    q_value: float
    visits: int
    score: float | None

    @property
    def is_prose(self) -> bool:
        """Whether its code, if it has any, is in blocks between sentences."""
        return not self.code or "```" in self.text or "~~~" in self.text


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one problem, and what it is based on."""

    problem: Problem
    answer: str | None
    """None if no trajectory was finished."""
    confidence: float
    """Share of the finished trajectories' weight that agrees with `answer`, in [0, 1]; where the
    policy is calibrated for the strategy, the chance that the answer is right."""
    correct: bool | None
    """Whether `answer` equals the gold answer, checked after the search; None if there is no gold answer."""
    trajectory: tuple[TrajectoryStep, ...]
    stats: SearchStats
    stopped: str
    """What ended the search: `finished`, `decided`, `exhausted`, `interrupted`, or the name of the limit
    that was reached, such as `max_generated_tokens`."""
    tree: Tree | None = field(default=None, repr=False)
    """None in a result that was read from a file."""
    other_answers: tuple[tuple[str, float], ...] = ()
    """What else the search found: each answer with its share of the finished trajectories' weight, largest first."""

    def to_json(self) -> dict[str, Any]:
        """The result without its tree as one JSON object."""
        return {
            "id": self.problem.id,
            "question": self.problem.question,
            "answer": self.answer,
            "gold": self.problem.answer,
            "correct": self.correct,
            "confidence": self.confidence,
            "other_answers": [list(each) for each in self.other_answers],
            "trajectory": [asdict(step) for step in self.trajectory],
            "stats": asdict(self.stats),
            "stopped": self.stopped,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SearchResult:
        """The result that `to_json` wrote, without its tree. Raises KeyError or TypeError for any other object."""
        return cls(
            problem=Problem(data["question"], data["gold"], data["id"]),
            answer=data["answer"],
            confidence=data["confidence"],
            correct=data["correct"],
            trajectory=tuple(TrajectoryStep(**step) for step in data["trajectory"]),
            stats=SearchStats(**data["stats"]),
            stopped=data["stopped"],
            # Absent in files of 0.2.0 and before.
            other_answers=tuple((answer, share) for answer, share in data.get("other_answers", ())),
        )
