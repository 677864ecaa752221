r"""Finds the final answer in a text by a model or a data set: "what does this reply answer?"

Read `answer_in`: it names the readings in the order of trust, with the numbers of their rules in
docs/concepts/grading.md, which explains them.

Every function scans the text a fixed number of times, so that the cost of a hostile text is linear in its length.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from treestar.verifier.extraction.asked import NOTHING_ASKED, Asked, read_question
from treestar.verifier.extraction.asked_answers import asked_answer
from treestar.verifier.extraction.boxes import BOX, boxed_contents, boxes_in, joined_boxes, unclosed_box
from treestar.verifier.extraction.delimiters import without_delimiters, without_inner_dollars
from treestar.verifier.extraction.formulas import last_formula
from treestar.verifier.extraction.phrases import ANSWER_PHRASE, FURTHER_QUESTION
from treestar.verifier.extraction.readable import readable
from treestar.verifier.extraction.remarks import without_offers, without_remarks
from treestar.verifier.extraction.statements import (
    announced_answer,
    boxed_answer,
    final_result,
    is_prose,
    states_an_answer,
)
from treestar.verifier.extraction.verbal import chosen_option, last_words, verbal_answer
from treestar.verifier.extraction.wrapping import unwrapped

__all__ = ["Statement", "boxed_contents", "extract_answer", "stated_answer", "states_answer", "without_delimiters"]

MOST_QUESTIONS = 20
"""Further questions that are looked at, because a hostile text could repeat the word."""
RESIDUE = re.compile(r"(?<=\d)\s\(mod\s(\d+)\)")
"""A modulus in prose, which belongs to the number before it."""


class Statement(NamedTuple):
    """The answer in a text."""

    answer: str
    guessed: bool
    """Whether it is just the last formula of a text that does not state which formula is the answer."""


def extract_answer(text: str, question: str = "") -> str | None:
    r"""The final answer in `text`, or None if there is none. docs/concepts/grading.md has the rules.

    Args:
        question: what `text` replies to, if known; it tells a given number from an answer where the reply states none.

    `\boxed{4}` gives `4`, "The roots are $2$ and $3$." gives `2, 3`, "so x = 2*sqrt(3)" gives `2*sqrt(3)`.
    """
    asked = read_question(question) if question else NOTHING_ASKED
    answer = answer_in(readable(text, asked), asked)
    if answer is None:
        return last_words(without_offers(text))
    return answer if "\\$" in text else answer.replace("\\$", "$")


def answer_in(text: str, asked: Asked = NOTHING_ASKED) -> str | None:
    """The answer in a readable text: what the first of the readings finds."""
    text = until_further_question(text)  # 2
    boxes = boxes_in(text)
    if boxes:
        return (
            announced_answer(text, start=boxes[-1].end, strict=True)  # 3: after the last box, and replacing it
            or boxed_answer(joined_boxes(text, boxes))  # 4
        )
    return (
        unclosed_box(text)
        or announced_answer(text, strict=False)  # 3
        or chosen_option(text)  # 7
        or verbal_answer(text)
        or asked_answer(text, asked)
        or computed(RESIDUE.sub(r" \\pmod{\1}", without_remarks(text)), asked)  # 5, 6
    )


def until_further_question(text: str) -> str:
    """`text` up to the question that follows its first stated answer."""
    for further in islice(FURTHER_QUESTION.finditer(text), MOST_QUESTIONS):
        before = text[: further.start()]
        if before.strip() and (boxes_in(before) or states_an_answer(before)):
            return before
    return text


def computed(text: str, asked: Asked) -> str | None:
    """What a text that states no answer comes to."""
    return final_result(text) or last_formula(text, asked)


def states_answer(text: str) -> bool:
    """Whether `text` says what its answer is, in a box or after a phrase; if not, `extract_answer` guesses."""
    reply = readable(text)
    return bool(boxes_in(reply)) or states_an_answer(reply)


def stated_answer(text: str) -> Statement:
    """The answer to compare: `text` itself if it is a bare answer, else the result of `extract_answer`.

    A bare answer contains only formulas and one or two words; a sentence is not a bare answer.
    """
    text = without_inner_dollars(text)
    text = unwrapped((readable(text) or text).strip())
    if BOX.search(text):
        return Statement(answer_in(text) or text, guessed=False)
    if not is_prose(text):
        return Statement(without_delimiters(text), guessed=False)
    answer = answer_in(text)
    if answer is None:
        return Statement(text, guessed=False)
    return Statement(answer, guessed=ANSWER_PHRASE.search(text) is None)
