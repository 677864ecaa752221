"""Reasoning with retrieval (IRCoT, StepER): each step is a sentence, and the query for the next paragraphs.

The model reads all paragraphs found so far, then the question, then its own sentences, and writes the next sentence:

    Title: Ada Lovelace
    Ada Lovelace was a daughter of Lord Byron. ...

    Question: Who was the father of the first programmer?
    Answer:
    The first programmer was Ada Lovelace.          <- a step: its text finds further paragraphs
    So the answer is: Lord Byron.                   <- the last step: nothing is looked up

The first paragraphs are found with the question itself, which is the preamble. A sentence ends where its line ends.
The executor is a `treestar.retrieval.RetrievalExecutor`.
"""

from __future__ import annotations

import re

from treestar.policy.formats.prose import STEP_BY_STEP, ProseFormat
from treestar.policy.formats.step_format import PARAGRAPH, FormatName, Message
from treestar.policy.formats.templates import plain_template
from treestar.types import Problem, State
from treestar.verifier.grading.questions import ANSWER_MARK

__all__ = ["RetrievalFormat"]

INSTRUCTION = (
    f"{STEP_BY_STEP} Use the paragraphs above. Write one sentence per line: further paragraphs are looked up with it."
)

ANNOUNCED = re.compile(r"answer is:[\s*_]*$", re.IGNORECASE)
"""A line after which the answer follows."""


class RetrievalFormat(ProseFormat):
    """Sentences that are queries, until one states the answer. The instruction of the model's family is not used."""

    name: FormatName = "retrieval"
    separator = "\n"
    max_depth = 5
    max_step_tokens = 128

    def preamble(self, problem: Problem) -> str:
        """The first query: the question."""
        return problem.question

    def messages(self, state: State) -> list[Message]:
        parts = [*paragraphs_of(state), f"Question: {state.problem.question}", INSTRUCTION]
        return [{"role": "user", "content": PARAGRAPH.join(parts)}]

    def opening(self, state: State) -> str:
        """The prompt up to where the reply begins: the paragraphs that `state` has found, and the question."""
        if self.template is plain_template:
            return PARAGRAPH.join([*paragraphs_of(state), f"Question: {state.problem.question}\nAnswer:\n"])
        return self.template(self.messages(state))

    def step_end(self, text: str) -> int | None:
        """The end of the first line, but of the next one if that line only announces the answer: it is not a query."""
        end = super().step_end(text)
        if end is None or not ANNOUNCED.search(text[:end]):
            return end
        further = super().step_end(text[end:])
        return None if further is None else end + further

    def is_over(self, state: State, paragraph: str) -> bool:
        return ANSWER_MARK.search(paragraph) is not None or super().is_over(state, paragraph)

    def can_be_asked(self, state: State, body: str) -> bool:
        return False

    def code(self, paragraph: str) -> str:
        """The query of a step: its text."""
        return paragraph.strip()


def paragraphs_of(state: State) -> list[str]:
    """The texts that were found so far, in the order in which they were found."""
    return [text for text in (state.preamble_output, *(each.output for each in state.executions)) if text]
