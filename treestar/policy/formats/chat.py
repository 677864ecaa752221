"""The format asked of an instruction-tuned model by instruction and examples, through its chat template."""

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
    answer_step,
    code_is_complete,
    cut_at_ending,
    trajectory_text,
    writes_prose,
)
from treestar.types import State, Step

__all__ = ["EXAMPLES", "ChatFormat", "ChatTemplate", "Message", "chat_messages", "plain_template"]

Message = dict[str, str]
ChatTemplate = Callable[[list[Message]], str]
"""Renders messages to the text after which the assistant's reply begins."""


class ChatFormat(RStarFormat):
    """The format asked of an instruction-tuned model by instruction and examples.

    A model that writes free text instead is taken at its word: paragraphs are steps, and a paragraph with a boxed
    answer is the last.
    """

    name: FormatName = "chat"

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template

    def prompt(self, state: State) -> str:
        return self.template(chat_messages(state.problem.question)) + OPENING + trajectory_text(state)

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


def strip_fence(code: str) -> str:
    """`code` without the Markdown fence that chat models like to put around it."""
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


def chat_messages(question: str) -> list[Message]:
    """Instruction, examples and question; the assistant's reply comes next."""
    messages = [{"role": "system", "content": INSTRUCTION}]
    for example, solution in EXAMPLES:
        messages += [{"role": "user", "content": example}, {"role": "assistant", "content": solution}]
    return [*messages, {"role": "user", "content": question}]


def plain_template(messages: list[Message]) -> str:
    """The messages of a model that has no chat template of its own, in the rstar form's words."""
    texts = [
        f"<|{message['role']}|>: {message['content']}"
        if message["role"] != "user"
        else f"<|user|>:\n{message['content']}"
        for message in messages
    ]
    return "\n".join(texts) + "\n<|assistant|>: "
