r"""Finds the `\boxed{...}` of a text, and which of them together are its answer."""

from __future__ import annotations

import re
import string
from typing import NamedTuple

from treestar.verifier.extraction.delimiters import with_escaped_currency, without_delimiters, without_inner_dollars
from treestar.verifier.extraction.phrases import APPROXIMATION, CORRECTION, PLACEHOLDER, last_match

__all__ = ["BOX", "boxed_contents", "boxes_in", "joined_boxes", "tidied_boxes", "unclosed_box"]

BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")
BRACE = re.compile(r"\\\\|\\[{}]|[{}]")
SEPARATOR = re.compile(r"\b(?:and|or)\b|[,;]|和|或|と")
SENTENCE_END = re.compile(r"\.\$?\s|\n\n")
NAMED = re.compile(r"(?:\\[\[(]|\$|\s)\s*[A-Za-z](?:_\{?\w\}?)?\s*=\s*$")
"""Before a box: the name of its value."""
REJECTED = re.compile(r"\b(?:not|(?:cannot|can['’]t)\s+be|instead\s+of|rather\s+than)\s*[\\($]*\s*$", re.IGNORECASE)
"""Before a box: it is not the answer."""
RESPECTIVELY = re.compile(r"[\\)$\],\s]{0,6}respectively\b")
"""After two equal boxes: they are the values of two things."""
WITHOUT_BRACES = re.compile(r"(\\boxed) ?(-?\d[\d.,/]*(?<=\d))(?=\s*(?:\$|\\|[.,;]?\s*(?:\n|$)))")
"""TeX puts a single digit into a box also without braces; some models write whole numbers so."""
AFTER_BOX = f"{string.whitespace}$."
"""Characters that may follow a box at the end of a text."""
LONGEST_PLACEHOLDER = 60


class Box(NamedTuple):
    """A box and its place in the text."""

    content: str
    start: int
    end: int


def boxes_in(text: str) -> list[Box]:
    r"""Each outermost `\boxed{...}` with balanced braces, in order."""
    boxes: list[Box] = []
    closing = closing_braces(text) if BOX.search(text) else {}
    for match in BOX.finditer(text):
        end = closing.get(match.end() - 1)
        is_inner = bool(boxes) and match.start() < boxes[-1].end
        if end is not None and not is_inner:
            boxes.append(Box(text[match.end() : end].strip(), match.start(), end + 1))
    return boxes


def closing_braces(text: str) -> dict[int, int]:
    """Position of the closing brace for each matched opening brace."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for match in BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def boxed_contents(text: str) -> list[str]:
    r"""The content of each outermost `\boxed{...}` with balanced braces, in order."""
    return [box.content for box in boxes_in(text)]


def tidied_boxes(text: str) -> str:
    r"""`text` with braces in each `\boxed 5`, and without boxes that say nothing: `\boxed{}`, `\boxed{your answer}`."""
    text = WITHOUT_BRACES.sub(r"\1{\2}", text) if "\\boxed" in text else text
    kept, position = [], 0
    for box in boxes_in(text):
        if len(box.content) <= LONGEST_PLACEHOLDER and PLACEHOLDER.fullmatch(unboxed(box.content)):
            kept.append(text[position : box.start])
            position = box.end
    return " ".join([*kept, text[position:]]) if kept else text


def unclosed_box(text: str) -> str | None:
    """The content of a box that the text ends with although a brace in it is never closed."""
    box = last_match(BOX, text)
    bare = text.rstrip(AFTER_BOX)
    return bare[box.end() :].strip() or None if box is not None and bare.endswith("}") else None


def joined_boxes(text: str, boxes: list[Box]) -> str:
    r"""The content of the last of `boxes`, together with those right before it that belong to the same list.

    A box that corrects or restates the one before it is not part of a list with it.
    """
    boxes = [box for box in boxes if REJECTED.search(text[max(0, box.start - 20) : box.start]) is None] or boxes
    kept = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        between = NAMED.sub("", text[box.end : kept[-1].start])
        if len(between) >= 70 or SENTENCE_END.search(between) is not None:
            break
        if APPROXIMATION.search(between + kept[-1].content[:8]) is not None and len(kept) == 1:
            kept = [box]
            continue
        repeated = box.content == kept[-1].content and RESPECTIVELY.match(text, kept[-1].end) is None
        if CORRECTION.search(between) is not None or repeated:
            break
        if len(between) >= 10 and SEPARATOR.search(between) is None:
            break
        kept.append(box)
    contents = [
        without_delimiters(with_escaped_currency(without_inner_dollars(unboxed(box.content)))) for box in reversed(kept)
    ]
    return ", ".join(contents)


def unboxed(content: str) -> str:
    while (inner := boxes_in(content)) and (inner[0].start, inner[0].end) == (0, len(content)):
        content = inner[0].content
    return content
