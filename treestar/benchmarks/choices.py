"""Multiple choice: rows whose choices are a field of their own become questions that list them, answered by a letter.

MMLU             `choices` with a list of texts, and `answer` with the place of the right one, from 0
AQuA, MMLU-Pro   `options` with a list of texts, some after their letter, and `correct` or `answer` with a letter
ARC              `choices` with lists of `text` and `label`, and `answerKey` with a label
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

__all__ = ["with_choices_shown"]

CHOICES = ("choices", "options")
RIGHT = ("answer", "answerKey", "correct")
"""The fields with the choices, and with the right one."""
OTHERS = ("paragraphs", "tests", "entry_point")
"""The fields of problems that are not answered by a letter."""


def with_choices_shown(row: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """`row`, with its choices in the question and the letter of the right one as `answer`; unchanged without choices.

    Args:
        names: the fields that can have the question.

    Raises:
        ValueError: the right answer is none of the choices, or an index while the choices are not a list.
    """
    field = next((name for name in CHOICES if row.get(name)), None)
    question = next((name for name in names if isinstance(row.get(name), str)), None)
    if field is None or question is None or row.get("kind") == "qa" or any(row.get(name) for name in OTHERS):
        return row
    right = next((row[name] for name in RIGHT if row.get(name) not in (None, "") and row[name] == row[name]), None)
    labels, texts = labels_and_texts(row[field])
    if not texts:
        if isinstance(row[field], str) and str(right).isdigit():
            raise ValueError(f"`{field}` is a text, so the answer cannot be a place in it: make it a list")
        return row
    answer = None if right is None else letter_of(right, labels, texts, field)
    return {**row, question: listing(row[question], texts), "answer": answer}


def labels_and_texts(choices: Any) -> tuple[Sequence[str], Sequence[str]]:
    """The labels and the texts of choices; none if they are in no known form."""
    labels: Any = ascii_uppercase
    texts: Any = choices
    if isinstance(choices, Mapping):
        labels, texts = choices.get("label"), choices.get("text")
    if not isinstance(texts, list) or not isinstance(labels, str | list) or not len(texts) <= len(ascii_uppercase):
        return "", ()
    if not all(isinstance(each, str | int | float) for each in texts) or len(labels) < len(texts):
        return "", ()
    found = [str(each).strip() for each in texts]
    marks = [re.match(rf"\(?{letter}\s?[).:]\s*", text) for letter, text in zip(ascii_uppercase, found, strict=False)]
    if all(marks):
        found = [text[mark.end() :] for mark, text in zip(marks, found, strict=True) if mark is not None]
    return list(map(str, labels))[: len(found)], found


def letter_of(right: Any, labels: Sequence[str], texts: Sequence[str], field: str) -> str:
    """The letter of the right choice, which is given by its place from 0, its label or its text."""
    is_whole = isinstance(right, int) or (isinstance(right, float) and right.is_integer())
    if is_whole and not isinstance(right, bool) and 0 <= right < len(texts):
        return ascii_uppercase[int(right)]
    said = str(right).strip()
    for known, wanted in ((labels, said), (texts, said), (labels, said.strip("(). ").upper())):
        if wanted in known:
            return ascii_uppercase[known.index(wanted)]
    raise ValueError(f"the answer {right!r} is none of the {len(texts)} `{field}`: give a place from 0, letter or text")


def listing(question: str, texts: Sequence[str]) -> str:
    """The question, followed by its choices unless it already lists them."""
    lettered = list(zip(ascii_uppercase, texts, strict=False))
    if all(re.search(rf"{letter}\s*[).:]\s*{re.escape(text)}", question) for letter, text in lettered):
        return question
    return "\n".join([question.rstrip(), *(f"{letter}) {text}" for letter, text in lettered)])
