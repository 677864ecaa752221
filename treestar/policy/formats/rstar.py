"""The released rStar-Math models' format: code steps, the code's output, then an answer in words."""

from __future__ import annotations

from treestar.policy.formats.step_format import (
    OPENING,
    FormatName,
    StepFormat,
    answer_step,
    code_is_complete,
    cut_at_ending,
    trajectory_text,
)
from treestar.types import State, Step

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
        if code_is_complete(state) or ending == "answer":
            return answer_step(state.problem, body, "truncated" if ending == "truncated" else "answer")
        return Step(body, code=body if ending != "truncated" else "", ending=ending)

    def only_answer_left(self, state: State) -> bool:
        return code_is_complete(state)
