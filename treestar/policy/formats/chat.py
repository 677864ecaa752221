"""The format requested from an instruction-tuned model by an instruction and examples, through its chat template."""

from __future__ import annotations

import ast
import re
import warnings
from textwrap import dedent

from treestar.policy.formats.prose import step_end
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import (
    ANSWER,
    END_OF_ANSWER,
    END_OF_CODE,
    END_OF_OUTPUT,
    END_OF_STEP,
    ENDINGS,
    OPENING,
    OUTPUT,
    PARAGRAPH,
    FormatName,
    Message,
    code_is_complete,
    cut_at_ending,
    trajectory_text,
)
from treestar.policy.formats.templates import ChatTemplate
from treestar.types import State, Step
from treestar.verifier import extract_answer

__all__ = ["ChatFormat"]


class ChatFormat(RStarFormat):
    """The format requested from an instruction-tuned model by an instruction and examples.

    A model that writes prose instead is parsed as such: paragraphs are steps, and the answer is what the whole reply
    states, once it has ended.

    Args:
        template: renders the messages of `prompt`.
    """

    name: FormatName = "chat"

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self.examples = len(EXAMPLES)

    def messages(self, state: State) -> list[Message]:
        """Instruction, examples and question."""
        messages = [{"role": "system", "content": INSTRUCTION}]
        for example, solution in EXAMPLES:
            messages += [{"role": "user", "content": example}, {"role": "assistant", "content": solution}]
        return [*messages, {"role": "user", "content": state.problem.question}]

    def prompt(self, state: State) -> str:
        return self.template(self.messages(state)) + OPENING + trajectory_text(state)

    def ends_with_tag(self, trajectory: State) -> bool:
        return not writes_prose(trajectory)  # a tag would make a single step of all its paragraphs

    def stop_strings(self, state: State) -> tuple[str, ...]:
        # A blank line ends a step only for a model that writes prose; inside code it means nothing.
        return (*ENDINGS, PARAGRAPH) if writes_prose(state) else tuple(ENDINGS)

    def reply(self, state: State) -> str:
        return OPENING + trajectory_text(state)

    def own_text(self, state: State, reply: str) -> str:
        return super().own_text(state, reply.split(OPENING.strip())[-1].lstrip("\n"))

    def goes_on(self, text: str) -> bool:
        return cut_at_ending(text)[1] is None and step_end(text.lstrip("\n"), PARAGRAPH) is None

    def parse(self, state: State, text: str, ended: bool) -> Step:
        if not code_is_complete(state) and not writes_prose(state):
            text = with_missing_tag(text, ended)
        _, ending = cut_at_ending(text)
        if ending is not None or code_is_complete(state):
            step = super().parse(state, text, ended)
            return Step(step.text, code_in(step.code), step.ending, step.answer)
        text = text.lstrip("\n")
        end = step_end(text, PARAGRAPH) or len(text)
        paragraph, is_all = text[:end].rstrip(), not text[end:].strip()
        if ended and is_all:
            reply = trajectory_text(state) + paragraph
            return Step(paragraph, ending="answer", answer=extract_answer(reply, state.problem.question))
        return Step(paragraph, ending="step" if end < len(text) or text.endswith(PARAGRAPH) else "truncated")


def with_missing_tag(text: str, ended: bool) -> str:
    """A program that the model did not end as one, with the tag that it left out: it makes up an output, ends its
    reply, or ends the program as an answer. Any other `text` unchanged."""
    before, output, _ = text.partition(OUTPUT)
    body, ending = cut_at_ending(before)
    left_out = ending == "answer" or (ending is None and (output or ended))
    return body + END_OF_CODE if left_out and is_program(body) else text


def is_program(text: str) -> bool:
    """Whether `text` is a program that prints something, and not a reply in words with a program in it."""
    code, words = code_in(text), BLOCK.sub("", CODE_TAG.sub("", text)).strip()
    return "print(" in code and is_python(code) and (not words or not BLOCK.search(text))


def writes_prose(state: State) -> bool:
    return bool(state.steps) and not any(step.code for step in state.steps)


def code_in(step: str) -> str:
    """The code of a step, without `<code>` tags: what is in its blocks of Python if it has any, without the indentation
    that a list gives them, else in its blocks without a language, else all of it but other blocks (`output`)."""
    step = CODE_TAG.sub("", step)
    blocks = [(block["language"], block["code"]) for block in BLOCK.finditer(step)]
    python = [code for language, code in blocks if PYTHON.match(language)]
    fenced = python or [code for language, code in blocks if code and not language]
    if fenced:
        return "\n".join(map(dedent, fenced))
    return with_prose_as_comments(BLOCK.sub("", step).strip("\n"))


def with_prose_as_comments(code: str) -> str:
    """`code` with its lines of prose as comments, if it is Python only then."""
    commented = PROSE.sub(r"# \g<0>", code)
    return commented if commented != code and not is_python(code) and is_python(commented) else code


def is_python(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of escapes in strings
        try:
            ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


CODE_TAG = re.compile(r"(?:</?(?:code|python|tool_code)>|\[/?python\]|<\|python_tag\|>)[ \t]*\n?", re.IGNORECASE)
"""What CodeLlama, Gemma, Llama and others put around code."""
BLOCK = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n`]*(?:\n|\Z)(?P<code>.*?)\n?"
    r"(?:(?:^[ \t]*|(?<=[\w)\]]))(?P=fence)(?:<\w+>)?[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A block of code; one that the step's end cut off counts."""
PYTHON = re.compile(r"\{?\.?(?:i?py|sympy|(?:tool_)?code)", re.IGNORECASE)
"""How a block's language begins if it is Python: `python`, `py`, `Python3`, `{.python}`, `tool_code`."""
PROSE = re.compile(r"^[-*>]*[ \t]*(?:\*\*)?[A-Z][\w'’]*,? \w.*", re.MULTILINE)
"""A line of words. Python has no two words in a row of which the first is capitalized."""

INSTRUCTION = (
    "Solve the math problem in small steps. Each step is one comment line that says what is done, then Python that "
    f"does it; end each step with {END_OF_STEP}. Steps share their variables. The last step prints the result and "
    f"ends with {END_OF_CODE}. You are then shown what was printed; answer in one sentence with the result in "
    f"\\boxed{{}} and end it with {END_OF_ANSWER}."
)

EXAMPLES = (
    (
        "James gets 160 emails a day. 30% of them need no response. How many does he answer in a work week of 5 days?",
        f"{OPENING}# Step 1: 30% of the 160 emails need no response\nskipped = 160 * 30 / 100\n{END_OF_STEP}\n"
        f"# Step 2: the rest, for five days\nanswered = (160 - skipped) * 5\n{END_OF_STEP}\n"
        f"# Now print the final answer\nprint(answered)\n{END_OF_CODE}\n{OUTPUT}560.0{END_OF_OUTPUT}\n"
        f"{ANSWER}James answers \\boxed{{560}} emails.{END_OF_ANSWER}",
    ),
    (
        "What is the sum of the solutions of x^2 - 7x + 10 = 0?",
        f"{OPENING}# Step 1: solve the equation\nfrom sympy import symbols, solve\nx = symbols('x')\n"
        f"solutions = solve(x**2 - 7*x + 10, x)\n{END_OF_STEP}\n"
        f"# Now print the final answer\nprint(sum(solutions))\n{END_OF_CODE}\n{OUTPUT}7{END_OF_OUTPUT}\n"
        f"{ANSWER}The sum of the solutions is \\boxed{{7}}.{END_OF_ANSWER}",
    ),
)
