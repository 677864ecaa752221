"""The step format: how a state becomes the text a policy continues, and how its continuation becomes a step.

Each form of it has a file beside this one. What they share is here: the tags, the text of a trajectory, and what a form
has to answer. Parsing never raises, whatever the text.
"""

from __future__ import annotations

from typing import Literal, Protocol

from treestar.types import Execution, Problem, State, Step, StepEnding
from treestar.verifier import extract_answer

__all__ = [
    "ANSWER",
    "ENDINGS",
    "END_OF_ANSWER",
    "END_OF_CODE",
    "END_OF_OUTPUT",
    "END_OF_STEP",
    "OPENING",
    "OUTPUT",
    "PARAGRAPH",
    "FormatName",
    "StepFormat",
    "answer_step",
    "code_is_complete",
    "cut_at_ending",
    "trajectory_text",
    "writes_prose",
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
