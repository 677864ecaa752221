"""Cuts solutions into chunks: by rules, or as a language model marks them (StepWiser, arXiv 2508.19229, section 3.1).

All of it keeps the text: the chunks joined are the solution, letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from treestar.policy.formats import CHUNK, END_OF_CHUNK, PARAGRAPH
from treestar.policy.formats.prose import step_end

__all__ = [
    "chunks_by_rules",
    "chunks_of_reply",
    "paragraphs_of",
    "segmentation_prompt",
    "solution_and_answer",
    "tagged",
]

TASK = f"""\
Cut the solution below into chunks, by putting {CHUNK} before and {END_OF_CHUNK} after each of them.

Where a chunk begins and ends:
- A chunk has one purpose, which everything in it serves: it sets up an equation, makes one self-contained \
calculation, or states a conclusion.
- Its lines follow from one another without a break. When the focus shifts, a new chunk begins.
- A new phase begins a new chunk, such as from solving to checking, or a remark on the side.

Do not change the text: keep every letter, formula and line break as it is, and leave nothing out. Reply with the \
marked solution and nothing else."""

NEW_PHASE = re.compile(
    r"(?:\#+\s|\*\*|-{3,}|\d+[.)]\s|[-*]\s)?\s*(?:step\s+\d+|first|second|third|next|then|now|finally|lastly|let(?:'s|\s+us|\s)|"
    r"to\s+(?:check|verify|find|solve)|check|verif|alternatively|however|wait|therefore|thus|hence|in\s+conclusion|"
    r"on\s+the\s+other\s+hand|case\s+\d+|we\s+(?:now|need|can))",
    re.IGNORECASE,
)
"""How a paragraph begins with which something new starts."""

HEADING = re.compile(r"\s*(?:#+ .*|\*\*[^*\n]+\*\*:?|(?:step|case)\s+\d+[:.]?)\s*", re.IGNORECASE)

SHORT = 60
"""Characters up to which a paragraph is joined to the one before, unless it begins something new."""

LONG = 600
"""Characters from which a chunk takes no further paragraph."""


def paragraphs_of(text: str) -> list[str]:
    """The steps at blank lines, as the format `cot` cuts them; joined they are the text."""
    found = []
    while text:
        end = step_end(text, PARAGRAPH) or len(text)
        found.append(text[:end])
        text = text[end:]
    return found


def chunks_by_rules(text: str) -> list[str]:
    """The chunks of a solution by its form alone, without a model; joined they are the text.

    Paragraphs stay together that belong together by their form: a heading and what follows it, a sentence that ends in
    a colon and the formula that it announces, a short one or a formula alone and the paragraph before. A word such as
    "Next" or "Therefore" begins a new chunk.
    """
    chunks: list[str] = []
    for paragraph in paragraphs_of(text):
        if chunks and belongs_together(chunks[-1], paragraph):
            chunks[-1] += paragraph
        else:
            chunks.append(paragraph)
    return chunks


def belongs_together(before: str, paragraph: str) -> bool:
    told, next_one = before.strip(), paragraph.strip()
    if not next_one or not told:
        return True
    last = told.splitlines()[-1]
    if HEADING.fullmatch(last) or last.endswith((":", ",")):
        return True
    if HEADING.match(next_one.splitlines()[0]) or len(told) >= LONG:
        return False
    if is_formula(next_one):
        return True
    return not NEW_PHASE.match(next_one) and (len(next_one) <= SHORT or next_one[0].islower())


def is_formula(text: str) -> bool:
    """Whether `text` is nothing but displayed formulas."""
    return text.startswith(("$$", "\\[", "\\begin{")) and text.endswith(("$$", "\\]", "}", "$$.", "\\]."))


def solution_and_answer(text: str) -> tuple[str, str] | None:
    """The reasoning, and the answer: the line with the last \\boxed and what follows it. None if there is no such line,
    or nothing before it."""
    place = text.rfind("\\boxed")
    if place < 0:
        return None
    start = text.rfind("\n", 0, place) + 1
    return (text[:start], text[start:]) if text[:start].strip() else None


def segmentation_prompt(text: str) -> str:
    """The user's message that asks a model to mark the chunks of `text`."""
    return f"{TASK}\n\nSolution:\n{text.strip()}"


def chunks_of_reply(reply: str, text: str) -> list[str] | None:
    """The chunks that a model has marked in `text`; joined they are `text`. None if its reply is not of that form, or
    says anything else than `text`; white space next to a mark does not count."""
    marked = reply.strip()
    if not marked.startswith(CHUNK) or not marked.endswith(END_OF_CHUNK):
        return None
    chunks: list[str] = []
    left = text
    for part in marked.removesuffix(END_OF_CHUNK).split(END_OF_CHUNK):
        before, mark, inside = part.partition(CHUNK)
        content = inside.strip()
        if before.strip() or not mark or not content or CHUNK in inside:
            return None
        space = len(left) - len(left.lstrip())
        if not left[space:].startswith(content):
            return None
        chunks.append(left[: space + len(content)])
        left = left[space + len(content) :]
    if left.strip():
        return None
    chunks[-1] += left
    return chunks


def tagged(chunks: Sequence[str], answer: str) -> list[str]:
    """A solution as steps of the format `chunk`: every chunk between tags, with the white space before it outside; then
    the answer. Without the tags, the steps joined are the chunks and the answer."""
    steps: list[str] = []
    space = ""
    for chunk in chunks:
        content = chunk.strip()
        begin = len(chunk) - len(chunk.lstrip())
        if content:
            steps.append(f"{space}{chunk[:begin]}{CHUNK}{content}{END_OF_CHUNK}")
            space = chunk[begin + len(content) :]
        else:
            space += chunk
    return [*steps, space + answer]
