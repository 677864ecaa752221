"""Step formats: how a state becomes the text a policy continues, and how the continuation becomes a step.

Each format has a file beside this one. What they share is here: the tags, the text of a trajectory, and what a format
has to answer. Parsing never raises, whatever the text.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

from treestar.types import Execution, Problem, Recommended, State, Step, StepEnding

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
    "Message",
    "Piece",
    "StepFormat",
    "code_is_complete",
    "cut_at_ending",
    "reply_parts",
    "shown_output",
    "trajectory_text",
    "written_text",
]

FormatName = Literal["rstar", "chat", "bound", "cot", "tir", "thinking", "chunk", "code", "retrieval"]

END_OF_STEP = "<end_of_step>"
END_OF_CODE = "<end_of_code>"
END_OF_ANSWER = "<end_of_answer>"
ENDINGS: dict[str, StepEnding] = {END_OF_STEP: "step", END_OF_CODE: "code", END_OF_ANSWER: "answer"}

OPENING = "Let's think step by step and solve the problem with code.<code>\n"
OUTPUT, END_OF_OUTPUT, ANSWER = "<output>", "<end_of_output>", "<answer>"
PARAGRAPH = "\n\n"

SHOWN_OUTPUT = 2000
"""Characters of a program's output that a policy is shown."""

LONG_FLOAT = re.compile(r"(?<![\w.])(?=(?:\.?\d){15})\d{1,15}\.\d+(?![\w.])")
"""A float that is printed with 15 digits or more."""
ROUND_LENGTH = 11
"""A float that takes at most so many characters when it is rounded to twelve digits was meant to have only these."""

COMMENT = re.compile(r"^[ \t]*#.*[^\W\d_]{2}", re.MULTILINE)
"""A line of code that is a comment in words."""

Message = dict[str, str]
"""One message of a conversation: its `role` and its `content`."""


class Piece(NamedTuple):
    """A part of what a policy reads. Parts are tokenized one by one."""

    text: str
    token_ids: tuple[int, ...] = ()
    """Its tokens, where the policy generated them; (): `text` is tokenized."""


class StepFormat(ABC):
    """A way of writing steps. A format writes `name`, `prompt` and `parse`; everything else has a default."""

    name: FormatName
    examples = 0
    """Worked examples in the prompt (few-shot)."""
    recommended = Recommended()
    """Settings for searches that leave them open."""
    keeps_tokens = False
    """Whether later prompts repeat a step's text unchanged, so that its own tokens can be read again."""

    shows_errors = False
    """Whether later prompts show why a step's code failed. The policy can then correct itself, so its trajectory goes
    on after such a step."""

    code_format: StepFormat | None = None
    """The format of its model's solutions to problems that ask for a program, where that is another one."""

    @abstractmethod
    def prompt(self, state: State) -> str:
        """The text that the policy continues with the next step."""

    @abstractmethod
    def parse(self, state: State, text: str, ended: bool) -> Step:
        """The step in a continuation of `state`'s prompt; what follows its first ending tag is ignored.

        Args:
            ended: the policy declared its text complete (it generated its end-of-sequence token).
        """

    def at_the_limit(self, state: State, step: Step) -> Step:
        """What becomes of a step that the token limit cut off, where the policy can be asked to continue it.

        By default it stays `truncated`, which ends its trajectory.
        """
        return step

    def pieces(self, state: State) -> list[Piece]:
        """`prompt`, in the parts that are tokenized one by one; by default in one part.

        A format whose steps keep their text unchanged returns the steps' own tokens, so that none is tokenized again.
        """
        return [Piece(self.prompt(state))]

    def messages(self, state: State) -> list[Message] | None:
        """The conversation up to the reply with the steps; None (the default) for a format that continues plain text.

        It decides which endpoint of a server is used.
        """
        return None

    def reply(self, state: State) -> str:
        """For a format with `messages`: the beginning of the reply that the policy continues with the next step."""
        return trajectory_text(state)

    def own_text(self, state: State, reply: str) -> str:
        """For a format with `messages`: what a server's answer adds, where it may have started the reply over."""
        begun = trajectory_text(state).strip()
        repeated = bool(begun) and reply.lstrip().startswith(begun)
        return reply.lstrip()[len(begun) :].lstrip("\n") if repeated else reply

    def written(self, step: Step) -> str:
        """The part of later prompts that the policy wrote: the step, and the tag or blank line that ended it."""
        return written_text(step)

    def goes_on(self, text: str) -> bool:
        """Whether the step in `text`, which ends with a stop string, is not over there: a blank line in a formula or in
        code ends nothing. By default False."""
        return False

    def stop_strings(self, state: State) -> tuple[str, ...]:
        """Strings that end the next step; by default the ending tags."""
        return tuple(ENDINGS)

    def question(self, problem: Problem) -> str:
        """The problem's question as the policy reads it; by default unchanged."""
        return problem.question

    def preamble(self, problem: Problem) -> str:
        """Python to run before the first step; none by default."""
        return ""

    def display(self, problem: Problem, text: str) -> str:
        """`text`, which the policy wrote, as people should read it."""
        return text

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        """The answer that ends the trajectory, "" where the step ends it without one, None where it continues."""
        return (step.answer or "") if step.ending == "answer" else None

    def only_answer_left(self, state: State) -> bool:
        """Whether the next step only states what the code has printed; by default never."""
        return False

    def has_reasoning(self, trajectory: State) -> bool:
        """Whether the policy gives reasons, and not only code and an answer; by default in a comment of its code, or in
        a line of prose before the last step."""
        return any(COMMENT.search(step.code) for step in trajectory.steps) or any(
            step.text.strip() and not step.code for step in trajectory.steps[:-1]
        )

    def ends_with_tag(self, trajectory: State) -> bool:
        """Whether the policy ends the last step of a finished trajectory with a tag, not with its sequence alone."""
        return True

    def interchangeable_tokens(self, tokenizer: Any) -> range:
        """Token ids that stand for names which could as well be exchanged for one another; by default none.

        Training may replace each of them by another, the same one throughout a sequence.
        """
        return range(0)


def reply_parts(step_format: StepFormat, state: State) -> list[tuple[str, bool]]:
    """What follows the prompt in a trajectory, cut into what the policy wrote (True) and what was put in between, such
    as the output of its code (False)."""
    begun = step_format.prompt(State(state.problem))
    parts: list[tuple[str, bool]] = []
    for depth, step in enumerate(state.steps, start=1):
        parts.append((step_format.written(step), True))
        begun += parts[-1][0]
        after = step_format.prompt(State(state.problem, state.steps[:depth], state.executions[:depth]))
        if len(after) > len(begun):
            parts.append((after[len(begun) :], False))
        begun = after
    return parts


def trajectory_text(state: State) -> str:
    """The steps so far as they appear in a policy's context, up to where the next step begins."""
    parts = []
    for step, execution in zip(state.steps, state.executions, strict=True):
        parts.append(written_text(step))
        if step.ending == "code":
            parts.append(f"\n{OUTPUT}{shown_output(execution)}{END_OF_OUTPUT}\n{ANSWER}")
        elif step.ending == "step" and step.code:
            parts.append("\n")
    return "".join(parts)


def shown_output(execution: Execution) -> str:
    """What a policy is shown of what its code printed: not the middle of a long output, to spare its context, and
    floats without the error of binary arithmetic, because small models copy 8.999999999999998 as 8.99."""
    output = execution.output.strip("\n")
    if len(output) > SHOWN_OUTPUT:
        half = SHOWN_OUTPUT // 2
        output = f"{output[:half]}\n... (output truncated) ...\n{output[-half:]}"
    return LONG_FLOAT.sub(without_rounding_error, output)


def without_rounding_error(number: re.Match[str]) -> str:
    """0.30000000000000004 as 0.3; a float with more digits of its own, such as a third, stays."""
    rounded = repr(float(f"{float(number[0]):.12g}"))
    return rounded if len(rounded) <= ROUND_LENGTH and "e" not in rounded else number[0]


def written_text(step: Step) -> str:
    """The part of `trajectory_text` that the policy wrote: a step and the tag, or the blank line, that ended it."""
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


def code_is_complete(state: State) -> bool:
    return bool(state.steps) and state.steps[-1].ending == "code"
