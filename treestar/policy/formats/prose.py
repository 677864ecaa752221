"""What the formats of ordinary models share: a reply in prose, cut into steps where paragraphs end.

A step's text is exactly what the model wrote, with the blank line after it, so the steps joined are the reply, and the
model reads its own tokens again (`StepFormat.pieces`). The reply ends where the model ends it, never at a box: a model
that says \\boxed before it is done has not answered yet. One that would never end, because the model repeats itself, is
cut there, and the model is asked for its answer.
"""

from __future__ import annotations

import re
from dataclasses import replace

from treestar.policy.formats.families import Family
from treestar.policy.formats.step_format import PARAGRAPH, Message, Piece, StepFormat
from treestar.policy.formats.templates import ChatTemplate, plain_template
from treestar.types import Execution, Problem, Recommended, State, Step
from treestar.verifier import extract_answer
from treestar.verifier.extraction.replies import states_answer
from treestar.verifier.grading.questions import stated_question_answer

__all__ = ["STEP_BY_STEP", "ProseFormat", "end_of", "is_asked", "is_in_code", "repeats_paragraphs", "step_end"]

FENCE = re.compile(r"^[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})(.*)$", re.MULTILINE)
"""A line that opens or closes a block of code: the fence, and what follows it. Backticks that end on the same line open
nothing."""

HEADING = re.compile(r"#+ .*|\*\*[^*]+\*\*:?|-{3,}")
"""A line that is a heading or a rule."""

DISPLAYS = tuple(
    (re.compile(opened), re.compile(closed))
    for opened, closed in ((r"(?<!\\)\\\[", r"(?<!\\)\\\]"), (r"\\begin\{", r"\\end\{"))
)
"""What opens and closes a displayed formula. The `\\\\[4pt]` within one is a line break."""

STEP_BY_STEP = (
    'Answer the question by reasoning step by step. End with "So the answer is:" and the answer in a few words.'
)
"""What is asked where the answer is a name or a phrase (IRCoT, arXiv 2212.10509)."""

SENTENCES = re.compile(r"(?<=[.!?:])\s+|\n+")
"""Between two sentences or lines."""

REPEATS, LONGEST_LOOP = 3, 4
"""A reply that repeats the same paragraph, or the same few, this many times would never stop: it has ended."""

LOOP_LETTERS = 60
"""A passage counts as repeated within a paragraph only if its repetitions together are this long."""

LIST_NUMBER = re.compile(r"^[ \t]*\d+[.)]", re.MULTILINE)
"""The number of an item in a list, which differs between items that are otherwise the same."""

LONGEST_PARAGRAPH = 4
"""Steps that a paragraph may have. A model that still writes it then would most likely never end."""

ASKED_FOR_BOX, ASKED_FOR_PHRASE = "\n\nThe final answer is \\boxed{", "\n\nSo the answer is:"
"""What is put after a reply that would not end; the model continues with its answer. The second where the answer is a
name or a phrase."""

INVENTED = re.compile(r"^[ \t]*(?:#+ *)?(?:Problem|Question|User|Human)\b ?\d*:", re.MULTILINE)
"""How a model without a chat template continues after its solution: with a further problem."""


class ProseFormat(StepFormat):
    """A reply in prose. A subclass says how the problem is put, and may find more in the reply.

    Args:
        template: renders the messages.
        family: what the model's family wants to be asked, and recommends.
        separator: text that ends a step, unless it is within a formula or code; None: the format's own.
        context: the model's maximum number of tokens, which limits a step's; None: unknown.
    """

    separator = PARAGRAPH
    keeps_tokens = True
    max_depth = 64
    max_step_tokens = 512

    def __init__(
        self, template: ChatTemplate, family: Family, separator: str | None = None, context: int | None = None
    ) -> None:
        self.template = template
        self.family = family
        self.separator = separator or self.separator
        self.recommended = Recommended(
            **family.sampling,
            max_depth=self.max_depth,
            max_step_tokens=min(self.max_step_tokens, (context or 10**9) // 4),
        )

    def instruction(self, problem: Problem) -> str:
        """What the model is asked to do, besides the problem."""
        return STEP_BY_STEP if problem.kind == "qa" else self.family.instruction

    def messages(self, state: State) -> list[Message]:
        problem, instruction = state.problem, self.instruction(state.problem)
        if self.family.role == "system":
            return [{"role": "system", "content": instruction}, {"role": "user", "content": problem.question}]
        return [{"role": "user", "content": f"{problem.question}\n{instruction}"}]

    def opening(self, state: State) -> str:
        """The prompt, up to where the reply begins."""
        if self.template is plain_template:
            return f"Problem: {state.problem.question}\n\n{self.instruction(state.problem)}\n\nSolution:"
        return self.template(self.messages(state))

    def prompt(self, state: State) -> str:
        return self.opening(state) + self.reply(state)

    def pieces(self, state: State) -> list[Piece]:
        return [Piece(self.opening(state)), *self.reply_pieces(state)]

    def reply_pieces(self, state: State) -> list[Piece]:
        """The reply in parts: each step, and what is put in after it."""
        pieces, reply = [], ""
        for step, execution in zip(state.steps, state.executions, strict=True):
            pieces.append(Piece(step.text, step.token_ids))
            reply += step.text
            if inserted := self.inserted(state.problem, step, execution, reply):
                pieces.append(Piece(inserted))
                reply += inserted
        return pieces

    def inserted(self, problem: Problem, step: Step, execution: Execution, reply: str) -> str:
        """What is put into the reply after a step has been executed; by default only the question for the answer.

        Args:
            reply: the reply up to and with the step.
        """
        if step.ending != "endless":
            return ""
        return ASKED_FOR_PHRASE if problem.kind == "qa" else ASKED_FOR_BOX

    def reply(self, state: State) -> str:
        return "".join(piece.text for piece in self.reply_pieces(state))

    def written(self, step: Step) -> str:
        return step.text

    def has_reasoning(self, trajectory: State) -> bool:
        """Whether the reply says anything before its last sentence or line."""
        return len(SENTENCES.split(self.reply(trajectory).strip())) > 1

    def ends_with_tag(self, trajectory: State) -> bool:
        return False

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return (self.separator,)

    def goes_on(self, text: str) -> bool:
        return self.step_end(text) is None

    def step_end(self, text: str) -> int | None:
        """Where the first step in `text` ends; None if it does not end in `text`."""
        return step_end(text, self.separator)

    def parse(self, state: State, text: str, ended: bool) -> Step:
        if is_asked(state):
            return self.asked_answer(state, text)
        end = self.step_end(text)
        if end is None and not ended:
            # A formula that is never closed would hold all that follows; then its first paragraph is the step.
            place = first_place(text, self.separator)
            if place < 0:
                return Step(text, ending="truncated")
            end = end_of(text, self.separator, place)
        body = text[:end]
        if ended and not text[len(body) :].strip():
            return self.answer_step(state, body)
        if self.is_over(state, body):
            return self.endless_step(state, body) or self.answer_step(state, body)
        return Step(body, code=self.code(body))

    def at_the_limit(self, state: State, step: Step) -> Step:
        """A paragraph that is longer than a step continues in the next one, but not a block of code or a formula. One
        that would never end is over."""
        if is_open(step.text) or not step.text.strip():
            return step
        if self.unfinished(state) >= LONGEST_PARAGRAPH - 1 or is_loop(step.text):
            return self.endless_step(state, step.text) or step
        return replace(step, ending="step", code=self.code(step.text))

    def answer_step(self, state: State, body: str) -> Step:
        return Step(body, ending="answer", answer=self.answer(state.problem, self.reply(state) + body))

    def endless_step(self, state: State, body: str) -> Step | None:
        """The last step of a reply that would continue after it: with the answer that it states, else one after which
        the model is asked for it; None if it cannot be asked."""
        if self.has_stated(state.problem, self.reply(state) + body):
            return self.answer_step(state, body)
        return Step(body, ending="endless") if self.can_be_asked(state, body) else None

    def has_stated(self, problem: Problem, reply: str) -> bool:
        """Whether the reply says what its answer is."""
        return stated_question_answer(reply) is not None if problem.kind == "qa" else states_answer(reply)

    def can_be_asked(self, state: State, body: str) -> bool:
        """Whether the model can be asked for its answer after the reply with `body`: not where it made a problem up."""
        return not self.invents(body)

    def asked_answer(self, state: State, text: str) -> Step:
        """The answer to the question that follows an endless step: a line."""
        line_end = text.find("\n", len(text) - len(text.lstrip()))
        line = text if line_end < 0 else text[:line_end]
        closing = "" if state.problem.kind == "qa" or line.count("}") > line.count("{") else "}"
        return replace(self.answer_step(state, line + closing), text=line)

    def unfinished(self, state: State) -> int:
        """Steps at the end of `state` that did not end their paragraph."""
        ends = (step.text.endswith(("\n", self.separator)) for step in reversed(state.steps))
        return next((count for count, has_ended in enumerate(ends) if has_ended), len(state.steps))

    def is_over(self, state: State, paragraph: str) -> bool:
        """Whether the reply has ended with `paragraph` although the model would continue."""
        return self.invents(paragraph) or repeats_paragraphs(state, paragraph)

    def invents(self, paragraph: str) -> bool:
        """Whether a model without a chat template continues with a further problem."""
        return self.template is plain_template and INVENTED.match(paragraph.lstrip()) is not None

    def code(self, paragraph: str) -> str:
        """The code to run after a step; by default none."""
        return ""

    def answer(self, problem: Problem, reply: str) -> str | None:
        """The final answer that a complete reply states."""
        if self.template is plain_template:
            begins = [match.start() for match in INVENTED.finditer(reply) if match.start() > 0]
            reply = reply[: begins[0]] if begins else reply
        return stated_question_answer(reply) if problem.kind == "qa" else extract_answer(reply, problem.question)


def is_asked(state: State) -> bool:
    """Whether the model has been asked for its answer, after a reply that would not end."""
    return bool(state.steps) and state.steps[-1].ending == "endless"


def repeats_paragraphs(state: State, paragraph: str) -> bool:
    """Whether the reply ends, with `paragraph`, in the same paragraph or the same few three times in a row."""
    texts = [*(step.text.strip() for step in state.steps[-REPEATS * LONGEST_LOOP :]), paragraph.strip()]
    return any(texts[-REPEATS * length :] == texts[-length:] * REPEATS for length in range(1, LONGEST_LOOP + 1))


def is_loop(text: str) -> bool:
    """Whether `text` ends with the same passage three times in a row, apart from the numbers of a list."""
    told = LIST_NUMBER.sub("", text)
    return any(
        told[-length:] == told[-2 * length : -length] == told[-3 * length : -2 * length]
        for length in range(LOOP_LETTERS // REPEATS, len(told) // REPEATS + 1)
    )


def step_end(text: str, separator: str) -> int | None:
    """Where the first step in `text` ends, its separator included; None if it does not end in `text`.

    A separator within a formula or code does not count, nor one after nothing but headings. A heading that separates
    steps (`## Step`) begins the next one.
    """
    place = first_place(text, separator)
    while place >= 0:
        if not is_open(text[:place]) and not only_headings(text[:place]):
            return end_of(text, separator, place)
        place = text.find(separator, place + 1)
    return None


def first_place(text: str, separator: str) -> int:
    """Where the first separator begins that can end a step, if formulas and code are ignored; -1 without one."""
    # Blank lines at the beginning end nothing, and a heading there opens this step.
    start = len(text) - len(text.lstrip())
    return text.find(separator, start + len(separator) * separator.lstrip().startswith("#"))


def end_of(text: str, separator: str, place: int) -> int:
    """Where a step ends whose separator is at `place`; further line breaks after a blank line belong to it."""
    if separator.lstrip().startswith("#"):
        return place
    after = place + len(separator)
    return after + len(text[after:]) - len(text[after:].lstrip("\n")) if separator == PARAGRAPH else after


def only_headings(text: str) -> bool:
    """Whether `text` has nothing but blank lines and headings. Nothing is done in such a step, so it continues."""
    return all(HEADING.fullmatch(line) for line in map(str.strip, text.splitlines()) if line)


def is_open(text: str) -> bool:
    """Whether `text` ends within a block of code or a displayed formula."""
    prose = outside_code(text)
    if prose is None:
        return True
    return prose.count("$$") % 2 == 1 or any(
        len(opened.findall(prose)) > len(closed.findall(prose)) for opened, closed in DISPLAYS
    )


def is_in_code(text: str) -> bool:
    """Whether `text` ends within a block of code."""
    return outside_code(text) is None


def outside_code(text: str) -> str | None:
    """`text` without its blocks of code; None if it ends within one."""
    fence = None
    outside: list[str] = []
    last = 0
    for match in FENCE.finditer(text):
        if fence is None:
            fence = match[1]
            outside.append(text[last : match.start()])
        elif match[1].startswith(fence) and not match[2].strip():
            fence = None
        last = match.end()
    return None if fence is not None else "".join([*outside, text[last:]])
