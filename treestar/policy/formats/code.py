"""Programs: the reply of an ordinary model to a problem that asks for one (HumanEval, MBPP, standard input and output).

A step is a block of the reply, in prose or in a program, up to the blank line after it. The answer is the program in
the whole reply (`program_in`). Nothing is executed on the way.

A base model continues the question itself, if that is the head of a function, and else a file that
begins with the question as its docstring. Its program ends where something else begins.
"""

from __future__ import annotations

import re

from treestar.policy.formats.families import Family
from treestar.policy.formats.prose import ProseFormat, end_of
from treestar.policy.formats.step_format import PARAGRAPH, FormatName, Message
from treestar.policy.formats.templates import ChatTemplate
from treestar.policy.formats.thinking import after_thought
from treestar.types import Problem, State, Step
from treestar.verifier.programs.proposed import continues_question, program_in
from treestar.verifier.programs.tests import entry_point_of

__all__ = ["CodeFormat"]

COMPLETE = (
    "Complete the following Python function. Reply with the whole function, with its imports, in one ```python block."
)
WRITE_FUNCTION = "Reply with the function, with its imports, in one ```python block."
WRITE_PROGRAM = (
    "Write a Python program that solves the problem. It reads from standard input and prints to standard output. "
    "Reply with the whole program in one ```python block."
)

END_OF_FUNCTION = ("\nclass", "\ndef", "\n#", "\nif __name__", "\nprint")
END_OF_FILE = ('\n"""', "\nassert", "\n```")
"""What a base model continues with after its program."""

LITERAL = re.compile(
    r'("""|\'\'\')(?:\\.|[^\\])*?(\1|\Z)|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*', re.DOTALL
)
"""A string, one of triple quotes also if nothing closes it, or a comment."""

NOTHING_YET = re.compile(r"(?:\s|`{3,}[^\n]*$|~{3,}[^\n]*$|#+ [^\n]*$|\*\*[^*\n]+\*\*:?$)*", re.MULTILINE)
"""Blank lines, headings and fences."""


class CodeFormat(ProseFormat):
    """One program, asked for in the words that an instruct model expects, or continued by a base model.

    Args:
        is_base: the model has no chat template.
    """

    name: FormatName = "code"

    def __init__(
        self,
        template: ChatTemplate,
        family: Family,
        separator: str | None = None,
        context: int | None = None,
        is_base: bool = False,
    ) -> None:
        self.is_base = is_base
        if family.format == "thinking":
            self.max_depth, self.max_step_tokens = 1024, 1024
        super().__init__(template, family, separator, context)

    def messages(self, state: State) -> list[Message]:
        problem = state.problem
        if continues_question(problem):
            content = f"{COMPLETE}\n\n```python\n{problem.question.strip(chr(10))}\n```"
        elif entry_point_of(problem) is not None:
            content = f"{problem.question.strip()}\n\n{WRITE_FUNCTION}"
        else:
            content = f"{problem.question.strip()}\n\n{WRITE_PROGRAM}"
        return [{"role": "user", "content": content}]

    def opening(self, state: State) -> str:
        problem = state.problem
        if not self.is_base:
            return super().opening(state)
        if continues_question(problem):
            return problem.question
        return f'"""\n{problem.question.strip()}\n"""\n'

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return PARAGRAPH, *self.ends(state.problem)

    def ends(self, problem: Problem) -> tuple[str, ...]:
        """What ends a program by beginning something else; nothing where the model itself ends its reply."""
        if not self.is_base:
            return ()
        return END_OF_FUNCTION if continues_question(problem) else END_OF_FILE

    def goes_on(self, text: str) -> bool:
        has_ended = self.is_base and text.endswith((*END_OF_FUNCTION, *END_OF_FILE))
        return not has_ended and block_end(text) is None

    def parse(self, state: State, text: str, ended: bool) -> Step:
        before = self.reply(state)
        stop = self.place_of_end(state, before, text)
        if stop is not None:
            text, ended = text[:stop], True
        end = block_end(text)
        if end is None and not ended:
            place = text.find(PARAGRAPH)
            if place < 0:
                return Step(text, ending="truncated")
            end = end_of(text, PARAGRAPH, place)  # a string that is never closed would hold all that follows
        block = text[:end]
        if self.is_over(state, block) or (ended and not text[len(block) :].strip()):
            return self.answer_step(state, block)
        return Step(block)

    def place_of_end(self, state: State, before: str, text: str) -> int | None:
        """Where in `text` the program has ended because something else begins there; None if it has not."""
        # The line break before that may belong to the text before.
        joined = "\n" + text if not before or before.endswith("\n") else text
        places = [joined.index(end) for end in self.ends(state.problem) if end in joined]
        return max(0, min(places) - (len(joined) - len(text))) if places else None

    def can_be_asked(self, state: State, body: str) -> bool:
        return False

    def answer(self, problem: Problem, reply: str) -> str | None:
        """The program in a complete reply, which may begin with a thought."""
        if self.is_base:
            return program_in(problem, reply)
        told = after_thought(reply, self.opening(State(problem)))
        return None if told is None else program_in(problem, told)


def block_end(text: str) -> int | None:
    """Where the first block in `text` ends, the blank line included; None if it does not end in `text`.

    A blank line within a string does not count, nor one after a line that ends with a colon or is only a heading or a
    fence: what these announce belongs to them.
    """
    place = text.find(PARAGRAPH)
    while place >= 0:
        block = text[:place]
        if not is_within_string(block) and not block.rstrip().endswith(":") and not NOTHING_YET.fullmatch(block):
            return end_of(text, PARAGRAPH, place)
        place = text.find(PARAGRAPH, place + 1)
    return None


def is_within_string(text: str) -> bool:
    """Whether `text` ends within a string of triple quotes."""
    return any(match[1] and not match[2] for match in LITERAL.finditer(text))
