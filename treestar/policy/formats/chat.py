"""The format requested from an instruction-tuned model by an instruction and examples, through its chat template."""

from __future__ import annotations

import re
from collections.abc import Callable

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
    answer_step,
    code_is_complete,
    cut_at_ending,
    trajectory_text,
)
from treestar.types import Problem, State, Step

__all__ = ["ChatFormat", "ChatTemplate", "plain_template"]

ChatTemplate = Callable[[list[Message]], str]
"""Renders messages to the text after which the assistant's reply begins."""


class ChatFormat(RStarFormat):
    """The format requested from an instruction-tuned model by an instruction and examples.

    A model that writes prose instead is parsed as such: paragraphs are steps, and a paragraph with a boxed answer is
    the last one.

    Args:
        template: renders the messages of `prompt`.
    """

    name: FormatName = "chat"

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self.examples = len(EXAMPLES)

    def messages(self, problem: Problem) -> list[Message]:
        """Instruction, examples and question."""
        messages = [{"role": "system", "content": INSTRUCTION}]
        for example, solution in EXAMPLES:
            messages += [{"role": "user", "content": example}, {"role": "assistant", "content": solution}]
        return [*messages, {"role": "user", "content": problem.question}]

    def prompt(self, state: State) -> str:
        return self.template(self.messages(state.problem)) + OPENING + trajectory_text(state)

    def ends_with_tag(self, trajectory: State) -> bool:
        return not writes_prose(trajectory)  # a tag would make a single step of all its paragraphs

    def stop_strings(self, state: State) -> tuple[str, ...]:
        # A blank line ends a step only for a model that writes prose; inside code it means nothing.
        return (*ENDINGS, PARAGRAPH) if writes_prose(state) else tuple(ENDINGS)

    def parse(self, state: State, text: str, ended: bool) -> Step:
        _, ending = cut_at_ending(text)
        if ending is not None or code_is_complete(state):
            step = super().parse(state, text, ended)
            return Step(step.text, strip_fence(step.code), step.ending, step.answer)
        paragraph, separator, rest = text.lstrip("\n").partition(PARAGRAPH)
        is_last = not rest.strip() and ended
        if "\\boxed" in paragraph or is_last:
            return answer_step(paragraph.rstrip(), "answer")
        return Step(paragraph.rstrip(), ending="step" if separator else "truncated")


def writes_prose(state: State) -> bool:
    return bool(state.steps) and not any(step.code for step in state.steps)


def strip_fence(code: str) -> str:
    """`code` without the Markdown fence that chat models often put around it."""
    fenced = re.fullmatch(r"\s*```(?:python|py)?[ \t]*\n(.*?)\n?(?:```)?\s*", code, re.DOTALL)
    return fenced.group(1) if fenced else code


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


def plain_template(messages: list[Message]) -> str:
    """The messages for a model that has no chat template, as text in the style of the rstar format."""
    texts = [
        f"<|{message['role']}|>: {message['content']}"
        if message["role"] != "user"
        else f"<|user|>:\n{message['content']}"
        for message in messages
    ]
    return "\n".join(texts) + "\n<|assistant|>: "
