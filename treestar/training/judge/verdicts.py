"""A judge's replies as trajectories of one step, whose answer is the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from treestar.judge.prompt import VERDICTS, verdict_of
from treestar.judge.reply_format import ReplyFormat
from treestar.types import Execution, Interpreter, Problem, Snapshot, State, Step

__all__ = ["NothingRuns", "SameVerdict", "VerdictFormat", "missing_verdict"]


class VerdictFormat(ReplyFormat):
    """A reply that has ended is an answer if its verdict is clear."""

    def parse(self, state: State, text: str, ended: bool) -> Step:
        step = super().parse(state, text, ended)
        verdict = verdict_of(text) if ended else None
        return step if verdict is None else replace(step, answer=VERDICTS[verdict])


class SameVerdict:
    """A verifier that compares verdicts."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        return problem.answer == answer

    async def equivalent(self, first: str, second: str) -> bool:
        return first == second


class NothingRuns:
    """An executor for replies, which have no code, and its interpreter."""

    async def open(self) -> Interpreter:
        return self

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        return Execution(snapshot=parent)

    async def close(self) -> None:
        """There is nothing to stop or to free."""


def missing_verdict(answers: Sequence[str | None], **_: Any) -> list[float]:
    """A reward: -1 for a reply without a clear verdict, else 0."""
    return [-1.0 if answer is None else 0.0 for answer in answers]
