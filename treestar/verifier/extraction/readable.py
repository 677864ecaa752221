"""Leaves out of a reply what cannot state its answer: programs, drawings, thoughts, offers, boxes that say nothing.

What is left has one kind of marks, and its values are plain formulas.
"""

from __future__ import annotations

from treestar.verifier.extraction.asked import NOTHING_ASKED, Asked
from treestar.verifier.extraction.boxes import boxes_in, with_braced_boxes, without_empty_boxes
from treestar.verifier.extraction.delimiters import with_escaped_currency
from treestar.verifier.extraction.emphasis import until_bold_value
from treestar.verifier.extraction.fences import without_programs
from treestar.verifier.extraction.phrases import (
    ANSWER_FIELD,
    ANSWER_PHRASE,
    CALCULATION,
    CLOSING_REMARK,
    THOUGHT_END,
    last_match,
    translated_marks,
    without_pictures,
)
from treestar.verifier.extraction.prose import tidied_prose
from treestar.verifier.extraction.remarks import without_offers

__all__ = ["readable"]

LONGEST_SCAN = 200_000
"""In characters; only the end of a longer text is read, because the final answer is there."""


def readable(text: str, asked: Asked = NOTHING_ASKED) -> str:
    """The part of a reply that can state its answer (rule 1)."""
    text = without_programs(without_pictures(translated_marks(text[-LONGEST_SCAN:])))
    text = with_field_as_phrase(after_thought(text))
    text = without_offers(until_closing_remark(text))
    text = without_empty_boxes(with_braced_boxes(text))
    if "**" in text and not boxes_in(text) and ANSWER_PHRASE.search(text) is None:
        text = until_bold_value(text, asked)
    return tidied_prose(with_escaped_currency(text, [(box.start, box.end) for box in boxes_in(text)]))


def after_thought(text: str) -> str:
    """What a model says after its thought, if anything, without notes for a calculator."""
    if "<" not in text and "[/THINK]" not in text:
        return text
    text = CALCULATION.sub("", text)
    thought = last_match(THOUGHT_END, text)
    return text[thought.end() :] if thought is not None and text[thought.end() :].strip() else text


def with_field_as_phrase(text: str) -> str:
    """A reply in JSON as its answer in words, `Answer: 5`; any other `text`, or one that states an answer later on,
    unchanged."""
    field = last_match(ANSWER_FIELD, text)
    if field is None:
        return text
    end = max(field.end(), text.find("}", field.end()))
    if ANSWER_PHRASE.search(text, end) or boxes_in(text[end:]):
        return text
    return "Answer: " + (field["number"] or field["text"].replace("\\\\", "\\"))


def until_closing_remark(text: str) -> str:
    """`text` up to an end token or "I hope it is correct", if anything stands before."""
    remark = CLOSING_REMARK.search(text)
    return text if remark is None or not text[: remark.start()].strip(" .\n") else text[: remark.start()].rstrip()
