"""Tool-integrated reasoning (ToRA, Qwen2.5-Math): prose with blocks of Python, each executed once it is written."""

from __future__ import annotations

import re
from textwrap import dedent

from treestar.policy.formats.families import BOXED_WITH_PROGRAMS
from treestar.policy.formats.prose import ProseFormat, is_in_code, step_end
from treestar.policy.formats.step_format import FormatName, shown_output
from treestar.types import Execution, Problem, State, Step

__all__ = ["TirFormat"]

OUTPUT_BLOCK = "```output"
"""What the model would write next if it made the output up; it is stopped there."""

PYTHON = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py)\b[^\n`]*\n(.*?)^[ \t]*```[ \t]*$\n?", re.MULTILINE | re.DOTALL | re.I
)


class TirFormat(ProseFormat):
    """Prose and blocks of Python. A block ends a step; its output follows in a separate block."""

    name: FormatName = "tir"
    shows_errors = True
    max_step_tokens = 2048

    def instruction(self, problem: Problem) -> str:
        return BOXED_WITH_PROGRAMS

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return (self.separator, "\n```\n", OUTPUT_BLOCK)

    def goes_on(self, text: str) -> bool:
        return self.block_end(text) is None and OUTPUT_BLOCK not in text and super().goes_on(text)

    def parse(self, state: State, text: str, ended: bool) -> Step:
        text, made_up, _ = text.partition(OUTPUT_BLOCK)
        block, paragraph = self.block_end(text), step_end(text, self.separator)
        if block is not None and (paragraph is None or block <= paragraph):
            body = text[:block]
            if self.is_over(state, body):  # the same program gives the same output or error again
                return self.endless_step(state, body) or self.answer_step(state, body)
            return Step(body, code=self.code(body))
        if not ended and paragraph is None and is_in_code(text):
            return Step(text, ending="truncated")  # cut at a blank line, the program would never run
        return super().parse(state, text, ended and not made_up)

    def block_end(self, text: str) -> int | None:
        """Where the first complete block of Python ends, its last line break included."""
        found = PYTHON.search(text)
        return None if found is None else found.end()

    def code(self, paragraph: str) -> str:
        """The first block's code, without the indentation that a block within a list has."""
        found = PYTHON.search(paragraph)
        return "" if found is None else dedent(found[1])

    def inserted(self, problem: Problem, step: Step, execution: Execution, reply: str) -> str:
        if not step.code:
            return super().inserted(problem, step, execution, reply)
        start = "" if step.text.endswith("\n") else "\n"
        return f"{start}{OUTPUT_BLOCK}\n{execution.error or shown_output(execution)}\n```\n"
