"""The released rStar-Math models' format: code steps, the code's output, then an answer in words."""

from __future__ import annotations

from treestar.policy.formats.step_format import (
    ANSWER,
    OPENING,
    FormatName,
    StepFormat,
    code_is_complete,
    cut_at_ending,
    trajectory_text,
)
from treestar.types import State, Step
from treestar.verifier import extract_answer

__all__ = ["RStarFormat"]


class RStarFormat(StepFormat):
    """The released rStar-Math models' format: code steps, the code's output, then an answer in words."""

    name: FormatName = "rstar"

    def prompt(self, state: State) -> str:
        return f"<|user|>:\n{self.question(state.problem)}\n<|assistant|>: {OPENING}{trajectory_text(state)}"

    def parse(self, state: State, text: str, ended: bool) -> Step:
        body, ending = cut_at_ending(text)
        if ending is None:
            ending = "answer" if ended else "truncated"
        if not code_is_complete(state) and ending != "answer":
            return Step(body, code=body if ending != "truncated" else "", ending=ending)
        told = body.split(ANSWER)[-1].strip()
        if ending == "truncated":
            return Step(told, ending="truncated")
        return Step(told, ending="answer", answer=extract_answer(told, state.problem.question))

    def only_answer_left(self, state: State) -> bool:
        return code_is_complete(state)
