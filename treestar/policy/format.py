"""The step format: how a state becomes the text a policy continues, and how its continuation becomes a step.

Three forms of the same thing. `rstar` is the format of the released rStar-Math models and data; `chat` asks for it by
instruction and example; `bound` gives every number of the question a name, which the embedded model needs. Parsing
never raises, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, Protocol

from treestar.policy.binding import Binding, bind_numbers, show_values
from treestar.types import Execution, Problem, State, Step, StepEnding
from treestar.verifier import extract_answer

__all__ = [
    "END_OF_ANSWER",
    "END_OF_CODE",
    "END_OF_STEP",
    "BoundFormat",
    "ChatFormat",
    "ChatTemplate",
    "FormatName",
    "RStarFormat",
    "StepFormat",
    "trajectory_text",
    "written_text",
]

FormatName = Literal["rstar", "chat", "bound"]

END_OF_STEP = "<end_of_step>"
END_OF_CODE = "<end_of_code>"
END_OF_ANSWER = "<end_of_answer>"
ENDINGS: dict[str, StepEnding] = {END_OF_STEP: "step", END_OF_CODE: "code", END_OF_ANSWER: "answer"}

OPENING = "Let's think step by step and solve the problem with code.<code>\n"
OUTPUT, END_OF_OUTPUT, ANSWER = "<output>", "<end_of_output>", "<answer>"
PARAGRAPH = "\n\n"

Message = dict[str, str]
ChatTemplate = Callable[[list[Message]], str]
"""Renders messages to the text after which the assistant's reply begins."""


class StepFormat(Protocol):
    """One form of the step format."""

    name: FormatName

    def prompt(self, state: State) -> str:
        """The text that the policy continues with the next step."""
        ...

    def stop_strings(self, state: State) -> tuple[str, ...]:
        """Strings that end the next step."""
        ...

    def parse(self, state: State, text: str, ended: bool) -> Step:
        """The step in a continuation of `state`'s prompt; what follows its first ending tag is ignored.

        Args:
            ended: the policy said that its text is complete (it gave its end-of-sequence token).
        """
        ...

    def preamble(self, problem: Problem) -> str:
        """Python to be run before the first step."""
        ...

    def display(self, problem: Problem, text: str) -> str:
        """`text` as people should read it."""
        ...

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        """The answer that ends the trajectory, "" where the step ends it without one, None where it goes on."""
        ...


class RStarFormat:
    """The released rStar-Math models' format: code steps, the code's output, then an answer in words."""

    name: FormatName = "rstar"

    def prompt(self, state: State) -> str:
        return f"<|user|>:\n{state.problem.question}\n<|assistant|>: {OPENING}{trajectory_text(state)}"

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return tuple(ENDINGS)

    def parse(self, state: State, text: str, ended: bool) -> Step:
        body, ending = cut_at_ending(text)
        if ending is None:
            ending = "answer" if ended else "truncated"
        if code_is_complete(state) or ending == "answer":
            return answer_step(body, "truncated" if ending == "truncated" else "answer")
        return Step(body, code=body if ending != "truncated" else "", ending=ending)

    def preamble(self, problem: Problem) -> str:
        return ""

    def display(self, problem: Problem, text: str) -> str:
        return text

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return (step.answer or "") if step.ending == "answer" else None


class BoundFormat(RStarFormat):
    """Numbers by name; what the complete code prints is the answer, and no words follow."""

    name: FormatName = "bound"

    def prompt(self, state: State) -> str:
        question = binding_of(state.problem.question).question
        return f"<|user|>:\n{question}\n<|assistant|>: {OPENING}{trajectory_text(state)}"

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return END_OF_STEP, END_OF_CODE

    def preamble(self, problem: Problem) -> str:
        return binding_of(problem.question).preamble

    def display(self, problem: Problem, text: str) -> str:
        return show_values(text, binding_of(problem.question))

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        if step.ending != "code":
            return super().final_answer(step, execution)
        lines = execution.output.strip().splitlines()
        return lines[-1].strip() if lines else ""


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


def trajectory_text(state: State) -> str:
    """The steps so far as they stand in a policy's context, up to where the next step begins."""
    parts = []
    for step, execution in zip(state.steps, state.executions, strict=True):
        parts.append(written_text(step))
        if step.ending == "code":
            output = execution.output.strip("\n")
            parts.append(f"\n{OUTPUT}{output}{END_OF_OUTPUT}\n{ANSWER}")
        elif step.ending == "step" and step.code:
            parts.append("\n")
    return "".join(parts)


def written_text(step: Step) -> str:
    """What of `trajectory_text` the policy wrote itself: a step and the tag, or the blank line, that ended it."""
    if step.ending == "code":
        return f"{step.text}\n{END_OF_CODE}"
    if step.ending == "step":
        return f"{step.text}\n{END_OF_STEP}" if step.code else f"{step.text}{PARAGRAPH}"
    return f"{step.text}{END_OF_ANSWER}"


def cut_at_ending(text: str) -> tuple[str, StepEnding | None]:
    """The text before the first ending tag, without the line break before it, and the tag's meaning."""
    found = [(text.index(tag), ending) for tag, ending in ENDINGS.items() if tag in text]
    if not found:
        return text.rstrip(), None
    place, ending = min(found)
    return text[:place].rstrip(), ending


def answer_step(text: str, ending: StepEnding) -> Step:
    body = text.split(ANSWER)[-1].strip()
    return Step(body, ending=ending, answer=extract_answer(body) if ending == "answer" else None)


def code_is_complete(state: State) -> bool:
    return bool(state.steps) and state.steps[-1].ending == "code"


def writes_prose(state: State) -> bool:
    return bool(state.steps) and not any(step.code for step in state.steps)


def strip_fence(code: str) -> str:
    """`code` without the Markdown fence that chat models like to put around it."""
    fenced = re.fullmatch(r"\s*```(?:python|py)?[ \t]*\n(.*?)\n?(?:```)?\s*", code, re.DOTALL)
    return fenced.group(1) if fenced else code


@lru_cache(maxsize=4096)
def binding_of(question: str) -> Binding:
    return bind_numbers(question)


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
