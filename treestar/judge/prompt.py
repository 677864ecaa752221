r"""What a judge reads and what it rules: the prompt for one chunk of a solution, and the verdict in its reply.

A judge is a language model that reads a problem, the solution so far and the next chunk of it, reasons about that
chunk, and ends with `\boxed{Positive}` or `\boxed{Negative}` (StepWiser, arXiv 2508.19229, section 3.3; our own words
after the outline of its table 3). A chunk is a step of any format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["VERDICTS", "judge_prompt", "verdict_of", "verdict_place"]

VERDICTS: Mapping[bool, str] = {True: r"\boxed{Positive}", False: r"\boxed{Negative}"}
"""How a reply ends that finds no error in the chunk (True), and one that finds some (False)."""

TASK = """\
You check solutions of mathematical problems, one chunk at a time. Decide whether the new chunk of reasoning contains \
an error, given the problem and the reasoning before it. A chunk need not contain a calculation. It is positive if it \
has no mistake, and negative if it has one or more."""

ANALYSE = f"""\
Reply in two parts.
1. Analysis: go through the chunk step by step. Say what it wants to achieve, and check its logic, its method and its \
calculations against the problem and the reasoning before it. Name each error, or say why the chunk is right.
2. Final judgment: end with {VERDICTS[True]} or {VERDICTS[False]}."""

VERDICT_ONLY = f"Reply with {VERDICTS[True]} or {VERDICTS[False]} and nothing else."

NO_HISTORY = "(none: the chunk is the first one)"

MARKS = re.compile(
    r"<(?=/?(?:problem|history|chunk|think|answer|code|output|end_of_\w+|start_of_\w+|extra_\d+|s)>|\|[^|<>\n]{1,40}\|>)",
    re.IGNORECASE,
)
"""Where a tag begins that structures this prompt, a solution or a conversation."""

BOX = re.compile(r"\\boxed\s*\{\s*(?:\\text(?:bf|it)?\s*\{)?\s*([^{}]*?)\s*\}")

WORDS = {"positive": True, "negative": False}

THOUGHT, END_OF_THOUGHT = "<think>", "</think>"


def judge_prompt(problem: str, history: Sequence[str], chunk: str, analysis: bool = True) -> str:
    """The user's message that asks a judge about `chunk`.

    Args:
        problem: the question that is being solved.
        history: the chunks before this one, in order; empty for the first.
        analysis: ask for reasons before the verdict; else for the verdict alone.
    """
    before = "\n\n".join(filter(None, (each.strip() for each in history)))
    return "\n\n".join(
        (
            TASK,
            f"<problem>\n{without_tags(problem).strip()}\n</problem>",
            f"<history>\n{without_tags(before) or NO_HISTORY}\n</history>",
            f"<chunk>\n{without_tags(chunk).strip()}\n</chunk>",
            ANALYSE if analysis else VERDICT_ONLY,
        )
    )


def verdict_of(text: str) -> bool | None:
    r"""The verdict of a judge's reply: whether the chunk is right, or None if the reply does not clearly say so.

    The last line with a box decides. It is unclear if that line has boxes that disagree, such as a repetition of the
    instruction, or a box with anything but the two words. What a model thinks before its reply does not count.
    """
    _, _, reply = text.rpartition(END_OF_THOUGHT)
    if THOUGHT in reply:
        return None
    for line in reversed(reply.splitlines()):
        if boxes := {found.casefold().rstrip(".") for found in BOX.findall(line)}:
            return WORDS.get(*boxes) if len(boxes) == 1 else None
    return None


def verdict_place(text: str) -> int | None:
    """Where the word of the last verdict begins in `text`; None if it has none."""
    places = [found.start(1) for found in BOX.finditer(text) if found[1].casefold().rstrip(".") in WORDS]
    return places[-1] if places else None


def without_tags(text: str) -> str:
    """`text` with a space after the `<` of every tag of `MARKS`, so that nothing in it ends a section or a message."""
    return MARKS.sub("< ", text)
