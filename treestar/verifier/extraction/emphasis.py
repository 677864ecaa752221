"""Reads which value a reply sets in bold, and takes out Markdown's emphasis."""

from __future__ import annotations

import re

from treestar.verifier.extraction.asked import NOTHING_ASKED, NUMBER, Asked, is_given, numbers_in
from treestar.verifier.extraction.formulas import CONCLUDES
from treestar.verifier.extraction.phrases import CONNECTIVE, FURTHER_QUESTION, last_match
from treestar.verifier.extraction.remarks import last_sentence_start, without_remarks
from treestar.verifier.extraction.verbal import VALUE_STATED

__all__ = ["until_bold_value", "without_emphasis"]

EMPHASIS = re.compile(r"(?<![\w)\]}*_\\^{])(\*{1,3}|__)(?=[^\s*_])([^\n*]{0,200}?(?<=[^\s*_]))\1(?![\w*_])")
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


def until_bold_value(text: str, asked: Asked) -> str:
    """`text` up to the value in bold that is its answer: in its first line if the rest explains it, or in its last
    sentence if the rest says for what it holds; all of `text` without one."""
    return until_first_value(text, asked) or until_last_value(text) or text


def until_first_value(text: str, asked: Asked) -> str | None:
    """`text` up to the value in bold in its first line, if no other is in bold and what follows only explains it: the
    question does not give it, the last sentence concludes nothing, and nothing new is computed from it."""
    values = list(VALUE.finditer(text))
    if asked is NOTHING_ASKED or len(values) != 1 or "\n" in text[: values[0].end()].lstrip():
        return None
    value, end = values[0][0], values[0].end()
    concludes = CONNECTIVE.match(text[max(end, last_sentence_start(text)) :].strip("*_ "))
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


def without_emphasis(text: str) -> str:
    """`text` without Markdown's marks around words, except those that show where a further question begins."""
    return EMPHASIS.sub(lambda match: match[0] if FURTHER_QUESTION.match(text, match.start()) else match[2], text)
