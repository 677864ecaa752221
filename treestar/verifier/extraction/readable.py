"""Leaves out of a reply what cannot state its answer: programs, drawings, thoughts, offers, boxes that say nothing, and
what follows the value in bold that is its answer.

What is left has one kind of marks, and its values are plain formulas.
"""

from __future__ import annotations

import re

from treestar.verifier.extraction import phrases
from treestar.verifier.extraction.asked import NOTHING_ASKED, NUMBER, Asked, is_given, numbers_in
from treestar.verifier.extraction.boxes import boxes_in, tidied_boxes
from treestar.verifier.extraction.delimiters import with_escaped_currency
from treestar.verifier.extraction.fences import without_programs
from treestar.verifier.extraction.formulas import CONCLUDES
from treestar.verifier.extraction.phrases import last_match
from treestar.verifier.extraction.prose import tidied_prose
from treestar.verifier.extraction.remarks import last_sentence_start, without_offers, without_remarks
from treestar.verifier.extraction.verbal import VALUE_STATED

__all__ = ["readable"]

LONGEST_SCAN = 200_000
"""In characters; only the end of a longer text is read, because the final answer is there."""
VALUE = re.compile(
    r"\*\*(?!\d+[.)]\s|(?:step|part|case|problem|question|example|method|option)\b)(?=[^*\n]*(?:[\dπ√¼-¾]|day\b))"
    r"(?:[^*\n:]|:(?=\d)){1,60}\*\*(?!\s*[-+*/×÷−=]\s*\d)(?!:)",
    re.IGNORECASE,
)
"""A value in bold, `**25 apples**`; neither a heading nor an operand."""
INNER_VALUE = re.compile(
    r"(?<=\w\s)\*\*(?=\\?[-−+$€£¥]{0,2}\s?(?:\d|[¼-¾⅐-⅞]))(?!\d+[.)]\s)[^*\n=:]{1,40}(?<!:)\*\*(?![\w*])(?!\s*[-+*/×÷−=(])"
)
"""A number in bold that does not begin its sentence."""
ANY_NUMBER = re.compile(r"[\d½]")
OPERAND_NEXT = re.compile(r"[-+*/×÷−]\s*\W?$")


def readable(text: str, asked: Asked = NOTHING_ASKED) -> str:
    """The part of a reply that can state its answer (rule 1)."""
    text = without_programs(phrases.without_pictures(phrases.translated_marks(text[-LONGEST_SCAN:])))
    text = with_field_as_phrase(after_thought(text))
    text = without_offers(until_closing_remark(text))
    text = tidied_boxes(text)
    if "**" in text and not boxes_in(text) and phrases.ANSWER_PHRASE.search(text) is None:
        text = until_first_value(text, asked) or until_last_value(text) or text
    return tidied_prose(with_escaped_currency(text, [(box.start, box.end) for box in boxes_in(text)]))


def after_thought(text: str) -> str:
    """What a model says after its thought, if anything, without notes for a calculator."""
    if "<" not in text and "[/THINK]" not in text:
        return text
    text = phrases.CALCULATION.sub("", text)
    thought = last_match(phrases.THOUGHT_END, text)
    return text[thought.end() :] if thought is not None and text[thought.end() :].strip() else text


def with_field_as_phrase(text: str) -> str:
    """A reply in JSON as its answer in words, `Answer: 5`; any other `text`, or one that states an answer later on,
    unchanged."""
    field = last_match(phrases.ANSWER_FIELD, text)
    if field is None:
        return text
    end = max(field.end(), text.find("}", field.end()))
    if phrases.ANSWER_PHRASE.search(text, end) or boxes_in(text[end:]):
        return text
    return "Answer: " + (field["number"] or field["text"].replace("\\\\", "\\"))


def until_closing_remark(text: str) -> str:
    """`text` up to an end token or "I hope it is correct", if anything stands before."""
    remark = phrases.CLOSING_REMARK.search(text)
    return text if remark is None or not text[: remark.start()].strip(" .\n") else text[: remark.start()].rstrip()


def until_first_value(text: str, asked: Asked) -> str | None:
    """`text` up to the value in bold in its first line, if no other is in bold and what follows only explains it: the
    question does not give it, the last sentence concludes nothing, and nothing new is computed from it."""
    values = list(VALUE.finditer(text))
    if asked is NOTHING_ASKED or len(values) != 1 or "\n" in text[: values[0].end()].lstrip():
        return None
    value, end = values[0][0], values[0].end()
    concludes = phrases.CONNECTIVE.match(text[max(end, last_sentence_start(text)) :].strip("*_ "))
    if concludes or is_given(value, asked) or goes_on(value, text[:end], text[end:], asked):
        return None
    return text[:end]


def goes_on(value: str, before: str, after: str, asked: Asked) -> bool:
    """Whether a text seems to compute something else from a number in it: another number ends `after`, that is new and
    not an operand, and no equation has the first one as its result."""
    number, last = NUMBER.search(value), last_match(NUMBER, after)
    if number is None or last is None or len(numbers_in(value)) > 1:
        return False
    if re.search(rf"=\s*\W?{re.escape(number[0])}(?!\d)", after):
        return False
    known = asked.given | numbers_in(before + after[: last.start()])
    return not numbers_in(last[0]) <= known and OPERAND_NEXT.search(after[: last.start()]) is None


def until_last_value(text: str) -> str | None:
    """`text` up to the only value in bold in its last sentence, if other numbers follow: `It needs **21 liters** for
    350 km`."""
    end = without_remarks(text)
    values = list(INNER_VALUE.finditer(end, last_sentence_start(end)))
    if len(values) != 1:
        return None
    rest = end[values[0].end() :]
    if not ANY_NUMBER.search(rest) or CONCLUDES.search(rest) or VALUE_STATED.search(rest):
        return None
    return end[: values[0].end()]
