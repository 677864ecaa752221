"""A judge's replies as trajectories of one step, whose answer is the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from treestar.judge.prompt import VERDICTS, verdict_of
from treestar.policy.formats import ChatTemplate, FormatName, Message, Piece, StepFormat
from treestar.types import Execution, Interpreter, Problem, Snapshot, State, Step

__all__ = ["NothingRuns", "SameVerdict", "VerdictFormat", "missing_verdict"]


class VerdictFormat(StepFormat):
    """One message of the user, the question of the state's problem, and the reply up to its end.

    Args:
        template: renders the message.
    """

    name: FormatName = "cot"
    keeps_tokens = True

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template

    def messages(self, state: State) -> list[Message]:
        return [{"role": "user", "content": state.problem.question}]

    def prompt(self, state: State) -> str:
        return self.template(self.messages(state)) + "".join(step.text for step in state.steps)

    def pieces(self, state: State) -> list[Piece]:
        opening = Piece(self.template(self.messages(state)))
        return [opening, *(Piece(step.text, step.token_ids) for step in state.steps)]

    def written(self, step: Step) -> str:
        return step.text

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return ()

    def parse(self, state: State, text: str, ended: bool) -> Step:
        if not ended:
            return Step(text, ending="truncated")
        verdict = verdict_of(text)
        return Step(text, ending="answer", answer=None if verdict is None else VERDICTS[verdict])


class SameVerdict:
    """A verifier that compares verdicts."""

    async def accepts(self, problem: Problem, answer: str) -> bool:
        return problem.answer == answer

    async def equivalent(self, first: str, second: str) -> bool:
        return first == second


class NothingRuns:
    """An executor for replies, which have no code: nothing is started."""

    async def open(self) -> Interpreter:
        return NothingRun()

    async def close(self) -> None:
        """There is nothing to stop."""


class NothingRun:
    """Its interpreter."""

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        return Execution(snapshot=parent)

    async def close(self) -> None:
        """There is nothing to free."""


def missing_verdict(answers: Sequence[str | None], **_: Any) -> list[float]:
    """A reward: -1 for a reply without a clear verdict, else 0."""
    return [-1.0 if answer is None else 0.0 for answer in answers]


def with_verdict(problem: Problem, label: bool) -> Problem:
    return replace(problem, answer=VERDICTS[label])
