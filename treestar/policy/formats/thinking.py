"""Models that think before they answer: `<think>...</think>`, or the channels of gpt-oss, then the answer."""

from __future__ import annotations

import re

from treestar.policy.formats.prose import ProseFormat
from treestar.policy.formats.step_format import FormatName
from treestar.types import Execution, Problem, State, Step
from treestar.verifier.extraction.phrases import THOUGHT_END

__all__ = ["ThinkingFormat", "after_thought"]

THOUGHT_BEGINS = re.compile(
    r"<(?:think|thinking|thought|reasoning|seed:think)>|\[THINK\]|<\|(?:begin_of_thought|START_THINKING)\|>"
    r"|<\|channel\|>analysis<\|message\|>|<\|channel>thought"
)
"""How a thought begins that ends with THOUGHT_END."""

CHANNEL_ENDS = {
    "<|channel|>analysis<|message|>": "<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>thought": "<channel|>",
    "[THINK]": "[/THINK]",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
}
"""What is put after a thought that would not end, by what began it, where that is not a tag such as `<think>`."""


class ThinkingFormat(ProseFormat):
    """A thought and an answer, both cut into paragraphs. The thought often tries several answers, so only what follows
    it is read as one."""

    name: FormatName = "thinking"
    max_depth = 1024
    max_step_tokens = 1024

    def answer(self, problem: Problem, reply: str) -> str | None:
        told = self.told(problem, reply)
        if told is None or told.strip():
            return None if told is None else super().answer(problem, told)
        # The model, or a server's parser of thoughts, left nothing outside the thought.
        return super().answer(problem, reply) if super().has_stated(problem, reply) else None

    def has_stated(self, problem: Problem, reply: str) -> bool:
        told = self.told(problem, reply)
        return told is not None and super().has_stated(problem, told)

    def inserted(self, problem: Problem, step: Step, execution: Execution, reply: str) -> str:
        """After a thought that would not end its end, then the question for the answer."""
        asked = super().inserted(problem, step, execution, reply)
        return thought_end(reply) + asked if asked and self.told(problem, reply) is None else asked

    def told(self, problem: Problem, reply: str) -> str | None:
        """What the reply says after its thought; None if that does not end."""
        return after_thought(reply, self.opening(State(problem)))

    def has_reasoning(self, trajectory: State) -> bool:
        """Whether there is a thought that is not empty, and ends."""
        reply = self.reply(trajectory)
        ends = list(THOUGHT_END.finditer(reply))
        return bool(ends) and bool(THOUGHT_BEGINS.sub("", reply[: ends[-1].start()]).strip())


def thought_end(reply: str) -> str:
    """What ends the thought that is open in a reply, on its own line where it ends with `</think>`."""
    found = THOUGHT_BEGINS.search(reply)
    begun = found[0] if found else "<think>"
    line_break = "" if reply.endswith("\n") else "\n"
    return CHANNEL_ENDS.get(begun) or f"{line_break}</{begun[1:]}"


def after_thought(reply: str, opening: str) -> str | None:
    """What a reply says after its thought, which its `opening`, the prompt, may have begun; all of it if it has none;
    None if the thought does not end."""
    ends = list(THOUGHT_END.finditer(reply))
    if ends:
        return reply[ends[-1].end() :]
    has_begun = opening.rstrip().endswith("<think>") or THOUGHT_BEGINS.search(reply)
    return None if has_begun else reply
