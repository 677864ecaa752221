"""Finds the formulas in a text, and those among them that are its answer: the last ones, or the ones it begins with."""

from __future__ import annotations

import re
from typing import NamedTuple

from treestar.verifier.grading.bare_math import computes, math_runs
from treestar.verifier.grading.chains import chain_value
from treestar.verifier.grading.delimiters import MATH, formula_of
from treestar.verifier.grading.phrases import last_match
from treestar.verifier.grading.units import read_compound

__all__ = ["last_formula", "leading_formula"]

LONGEST_SEPARATOR = 12
"""In characters, between two parts of a list."""
LONGEST_GAP = 40
"""In characters, between an answer and its rounding."""

PLAIN_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.\\])(?:\\?[$€£¥]\s?)?-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?<=\d)"
    r"(?:\s?/\s?\d+(?!\d|\.\d)|:\d+)?\s?(?:\\?%|percent\b)?(?:e[-+]?\d+)?(?![A-Za-z_\d])"
)
BETWEEN_PARTS = re.compile(r"[\s,;]*(?:(?:and|or|y|et|und|и|和|と|或)[\s,;]*)?")
AMOUNT = r"\d{1,9}(?:\.\d{1,9})?\s?[A-Za-z]{1,12}"
AMOUNTS = re.compile(rf"(?<![\d.,]){AMOUNT}(?:,?\s(?:and\s)?{AMOUNT}){{1,2}}(?![A-Za-z\d])")
"""What may be one amount in two or three units: `2 hours and 30 minutes`."""

ABOUT = r"(?:about|approximately|approx\.?|roughly|around|≈)"
ROUNDED = re.compile(rf"\s*,?\s*(?:or\s+|which\s+is\s+|\()\s*{ABOUT}\s*")
"""Between an exact answer and its rounding."""
ROUNDING_SIGN = re.compile(r"\s*(?:≈|\\approx)\s*")
RESULT = re.compile(r"(?:=|\bequals?|\bwhich\s+(?:is|equals|gives|makes)|\bor\s+simply|\bi\.e\.|\bthat\s+is|\bso)\s*$")
"""Before the value of what precedes it."""
ANOTHER_PART = re.compile(
    r"(?:[,;&]|\b(?:and|or|plus|as\s+well\s+as|together\s+with|along\s+with)\b)\s+(?:\w+\s+)?\\?[$€£¥]?[-−]?[\d\\]"
)
TIED = re.compile(
    r"\s*(?:(?!to\s+\d+\s+(?:decimal|significant|places|digits)|(?:for|after|on|at|during|within|before)\b)[^\W\d]+\.?"
    r"|(?:divided|multiplied)\s+by|out\s+of|for\s+every|(?:more|less|fewer|greater)\s+than"
    r"|with\s+(?:a\s+)?remainder(?:\s+of)?|[-–—:/])\s*\\?[$€£¥]?[\d\\]"
)
"""After a number that says little without the next one: `1 in 6`, `5 to 7`, `3 red 4 blue`."""


class Span(NamedTuple):
    """A formula and its place in the text."""

    start: int
    end: int
    text: str


def formulas_in(text: str) -> list[Span]:
    """The formulas of `text` in order, with or without delimiters; the numbers if it has no formulas."""
    spans = [Span(match.start(), match.end(), formula_of(match).strip()) for match in MATH.finditer(text)]
    pieces, position = [], 0
    for start, end, _ in spans:
        pieces += [text[position:start], "\n\n" if end - start == 2 else "\n" * (end - start)]
        position = end
    masked = "".join([*pieces, text[position:]])
    spans += [Span(run.start, run.end, run.text) for run in math_runs(masked)]
    if not spans:
        spans = [Span(m.start(), m.end(), m[0].strip()) for m in PLAIN_NUMBER.finditer(masked) if m[0].strip()]
    return sorted(span for span in spans if not is_power_of_unit(text, span))


def is_power_of_unit(text: str, span: Span) -> bool:
    """Whether a formula is only the exponent of the word before it: `cm$^2$`."""
    return span.text.startswith("^") and span.start > 0 and text[span.start - 1].isalpha()


def last_formula(text: str) -> str | None:
    """The last formula, number or amount in two units, with those right before it that belong to the same list."""
    spans = formulas_in(text)
    if not spans:
        return None
    amount = compound_amount(text)
    if amount is not None:
        return amount
    gap = text[spans[-2].end : spans[-1].start][: LONGEST_GAP + 1] if len(spans) > 1 else ""
    if len(gap) <= LONGEST_GAP and ROUNDED.fullmatch(gap):
        spans.pop()
    elif len(gap) <= LONGEST_GAP and ROUNDING_SIGN.fullmatch(gap):
        return f"{spans[-2].text} \\approx {spans[-1].text}"
    parts = [spans[-1]]
    for span in reversed(spans[:-1]):
        if is_restated(text, span, parts[-1]) and len(parts) == 1:
            parts = [span]
            continue
        if not are_listed(text, span, parts[-1]):
            break
        parts.append(span)
    return chain_value(parts[0].text) if len(parts) == 1 else ", ".join(part.text for part in reversed(parts))


def leading_formula(text: str) -> str | None:
    """The answer of a statement that begins with it: `14 apples` of "14 apples were sold on day 2".

    The last formula counts all the same if it is the value of what precedes it, or only a part of the answer.
    """
    spans = formulas_in(text)
    if len(spans) < 2 or compound_amount(text) is not None:
        return last_formula(text)
    parts = [spans[0]]
    for span in spans[1:]:
        if not are_listed(text, parts[-1], span):
            break
        parts.append(span)
    end = parts[-1].end
    before_last = text[spans[-2].end : spans[-1].start]
    is_value = "=" in text[spans[-1].start : spans[-1].end] or RESULT.search(before_last) is not None
    if is_value or ANOTHER_PART.search(text, end) or TIED.match(text, end):
        return last_formula(text)
    return ", ".join(part.text for part in parts)


def is_restated(text: str, span: Span, following: Span) -> bool:
    """Whether the second of two formulas says in percent what the first one says: `1/2, or 50%`."""
    in_percent = ["%" in text[part.start : part.end + 2] for part in (span, following)]
    gap = text[span.end : following.start]
    if in_percent != [False, True] or len(gap) > LONGEST_SEPARATOR or gap.strip(" \n,(") != "or":
        return False
    return not computes(text[span.start : span.end].strip("$"))


def are_listed(text: str, span: Span, following: Span) -> bool:
    """Whether two formulas are parts of one list; two calculations are not, because the second uses the first."""
    gap = text[span.end : following.start]
    if not gap.strip() or len(gap) > LONGEST_SEPARATOR or BETWEEN_PARTS.fullmatch(gap) is None:
        return False
    return not any(computes(text[part.start : part.end].strip("$")) for part in (span, following))


def compound_amount(text: str) -> str | None:
    """The last amount in two units, if no number follows it."""
    amount = last_match(AMOUNTS, text)
    if amount is None or read_compound(amount[0]) is None or re.search(r"\d", text[amount.end() :]):
        return None
    return amount[0]
