"""Chunks of thought (StepWiser, arXiv 2508.19229, section 3.1): prose whose parts the model itself marks.

    <chunk>Each of the 3 boxes holds 4 pens, so there are 3 * 4 = 12 pens.</chunk>
    <chunk>5 are taken away, which leaves 12 - 5 = 7.</chunk>
    The answer is \\boxed{7}.

A chunk serves one purpose, so it is a better unit to judge than a paragraph. What follows the last chunk is the answer.
"""

from __future__ import annotations

from treestar.policy.formats.prose import STEP_BY_STEP, ProseFormat, is_asked
from treestar.policy.formats.step_format import FormatName
from treestar.types import Problem, State, Step

__all__ = ["CHUNK", "END_OF_CHUNK", "ChunkFormat"]

CHUNK, END_OF_CHUNK = "<chunk>", "</chunk>"

IN_CHUNKS = (
    f"Reason step by step, and put every part of your reasoning between {CHUNK} and {END_OF_CHUNK}. A part has a "
    "single purpose: it sets something up, makes one calculation, or draws a conclusion."
)
BOXED_AFTER = "After the last part, give your final answer within \\boxed{}."


class ChunkFormat(ProseFormat):
    """A step is a chunk, with the white space before it; the text after the last chunk is the last step. The
    instruction of the model's family is not used."""

    name: FormatName = "chunk"
    separator = END_OF_CHUNK

    def instruction(self, problem: Problem) -> str:
        return f"{IN_CHUNKS} {STEP_BY_STEP if problem.kind == 'qa' else BOXED_AFTER}"

    def goes_on(self, text: str) -> bool:
        return END_OF_CHUNK not in text

    def parse(self, state: State, text: str, ended: bool) -> Step:
        if is_asked(state):
            return self.asked_answer(state, text)
        chunk, tag, after = text.partition(END_OF_CHUNK)
        body = chunk + tag
        if not tag and not ended:
            return Step(text, ending="truncated")
        if ended and not after.strip():
            return self.answer_step(state, body)
        if self.is_over(state, body):
            return self.endless_step(state, body) or self.answer_step(state, body)
        return Step(body)
