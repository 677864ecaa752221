"""How a judge is asked through the backends of policies: its prompt is a problem, and its whole reply a step."""

from __future__ import annotations

from treestar.policy.formats import ChatTemplate, FormatName, Message, Piece, StepFormat
from treestar.types import State, Step

__all__ = ["ReplyFormat"]


class ReplyFormat(StepFormat):
    """One message of the user, the question of the state's problem, and the reply up to its end.

    Args:
        template: renders the message; a server applies the model's own.
    """

    name: FormatName = "cot"
    keeps_tokens = True

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template

    def messages(self, state: State) -> list[Message]:
        return [{"role": "user", "content": state.problem.question}]

    def reply(self, state: State) -> str:
        return "".join(step.text for step in state.steps)

    def prompt(self, state: State) -> str:
        return self.template(self.messages(state)) + self.reply(state)

    def pieces(self, state: State) -> list[Piece]:
        opening = Piece(self.template(self.messages(state)))
        return [opening, *(Piece(step.text, step.token_ids) for step in state.steps)]

    def written(self, step: Step) -> str:
        return step.text

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return ()

    def parse(self, state: State, text: str, ended: bool) -> Step:
        return Step(text, ending="answer" if ended else "truncated")
