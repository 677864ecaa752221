"""The fenced blocks of a reply in Markdown, and a reply without its programs."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Block", "fenced_blocks", "without_programs"]

FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[ \t]*\{?\.?(?P<language>[\w+#.-]*)[^\n]*$", re.MULTILINE
)
PROGRAMS = re.compile(
    r"i?py\w*|c|cpp|c\+\+|c#|java|javascript|js|r|julia|matlab|rust|go|ruby|bash|sh|sql", re.IGNORECASE
)
"""The languages of programs."""
PROGRAM_LINE = re.compile(r"^[ \t]*(?:(?:def|class|import|from|return|while|for)\s\w|print\s?\()", re.MULTILINE)
STATING_COMMENT = re.compile(r"#[ \t]*((?:final\s+|the\s+)*answer\b.*)", re.IGNORECASE)


class Block(NamedTuple):
    """A block between two fences, or from a fence to the end of the text."""

    start: int
    """Where its first fence begins."""
    end: int
    """Where its second fence ends; the end of the text if nothing closes it."""
    language: str
    """Empty if it names none."""
    indent: str
    """The blanks before its first fence."""
    text: str
    is_closed: bool


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of `text` in order."""
    places: list[tuple[re.Match[str], int, int]] = []
    opened: re.Match[str] | None = None
    for fence in FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence["fence"].startswith(opened["fence"]) and not fence["language"]:
            places.append((opened, fence.start(), fence.end()))
            opened = None
    if opened is not None:
        places.append((opened, len(text), len(text)))
    return [
        Block(first.start(), end, first["language"], first["indent"], text[first.end() + 1 : last], last < end)
        for first, last, end in places
    ]


def without_programs(text: str) -> str:
    """`text` without its fenced programs, whose texts and numbers are not answers, and without the fences around
    anything else, such as an output; a `text` of nothing but programs as the comments that state an answer."""
    kept, end = [], 0
    for block in fenced_blocks(text):
        if block.is_closed or is_program(block):
            kept += [text[end : block.start], "" if is_program(block) else f"\n{block.text}"]
            end = block.end
    left = "".join([*kept, text[end:]])
    return left if left.strip() else "\n".join(STATING_COMMENT.findall(text)) if end else text


def is_program(block: Block) -> bool:
    """Whether a block's language says that it is a program, or its lines do where it names none."""
    if block.language:
        return PROGRAMS.fullmatch(block.language) is not None
    return PROGRAM_LINE.search(block.text) is not None
