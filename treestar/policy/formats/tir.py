"""Tool-integrated reasoning (ToRA, Qwen2.5-Math): prose with blocks of Python, each executed once it is written."""

from __future__ import annotations

import re
from textwrap import dedent

from treestar.policy.formats.families import BOXED_WITH_PROGRAMS
from treestar.policy.formats.prose import ProseFormat, is_in_code, step_end
from treestar.policy.formats.step_format import FormatName, shown_output
from treestar.types import Execution, Problem, State, Step

__all__ = ["TirFormat"]

FENCE = "```"
OUTPUT_BLOCK = f"{FENCE}output"
"""What the model would write next if it made the output up; it is stopped there."""

PYTHON = re.compile(
    r"^[ \t]*(?P<fence>```|~~~)[ \t]*(?:python3?|py)\b[^\n`]*\n(?P<code>.*?)^[ \t]*(?P=fence)[ \t]*$\n?",
    re.MULTILINE | re.DOTALL | re.I,
)
SHELL_LINE = re.compile(r"^[ \t]*(?:!|%%?[a-z]).*\n?|^[ \t]*(?:python[ \d.]*-m[ ]+)?pip3? install .*\n?", re.MULTILINE)
"""What only a notebook or a shell runs: `!pip install sympy`, `%matplotlib inline`."""
PROMPTED = re.compile(r"^[ \t]*(?:>>>|\.\.\.)(?: (.*)|$)", re.MULTILINE)
"""A line that is typed in an interactive session; the others are what it displayed."""


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
        if ended and block is None and is_in_code(text) and (code := self.code(f"{text}\n{FENCE}")):
            return Step(text, code=code)  # the model left out the last fence
        return super().parse(state, text, ended and not made_up)

    def block_end(self, text: str) -> int | None:
        """Where the first complete block of Python ends, its last line break included."""
        found = PYTHON.search(text)
        return None if found is None else found.end()

    def code(self, paragraph: str) -> str:
        """The first block's code, without the indentation that a block within a list has, and without what only a
        notebook or an interactive session has."""
        found = PYTHON.search(paragraph)
        code = "" if found is None else SHELL_LINE.sub("", dedent(found["code"]))
        return "\n".join(PROMPTED.findall(code)) if code.lstrip().startswith(">>>") else code

    def answer_step(self, state: State, body: str) -> Step:
        """The last step. A message of an error is not what the reply answers."""
        reply = "".join(
            step.text + ("" if step.code and execution.error else self.inserted(state.problem, step, execution, ""))
            for step, execution in zip(state.steps, state.executions, strict=True)
        )
        return Step(body, ending="answer", answer=self.answer(state.problem, reply + body))

    def inserted(self, problem: Problem, step: Step, execution: Execution, reply: str) -> str:
        if not step.code:
            return super().inserted(problem, step, execution, reply)
        start = "" if step.text.endswith("\n") else "\n"
        start += f"{FENCE}\n" if is_in_code(step.text) else ""
        return f"{start}{OUTPUT_BLOCK}\n{execution.error or shown_output(execution)}\n```\n"
