r"""Tells the dollar signs of formulas from those of money, and takes formulas out of their delimiters."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from itertools import zip_longest

__all__ = ["MATH", "formula_of", "plain_words", "with_escaped_currency", "without_delimiters", "without_inner_dollars"]

MATH = re.compile(
    r"(?<!\\)\$\$(?P<display>(?:[^$\\]|\\.)+)\$\$|(?<!\\)\$(?P<inline>(?:[^$\\]|\\.)+)\$"
    r"|\\\[(?P<bracket>(?:[^\\]|\\[^\[\]])+)\\\]|\\\((?P<round>(?:[^\\]|\\[^()])+)\\\)",
    re.DOTALL,
)
DOLLARS = re.compile(r"\\.|\$\$?", re.DOTALL)
UPRIGHT = re.compile(r"\\[a-zA-Z]+\s*\{[^{}\\]*\}")
WORD = re.compile(r"(?<![\\\w.])[^\W\d_]{2,}(?![\w{(])")
LIST_WORDS = ("and", "or", "oo")
INNER_DOLLARS = re.compile(r"[^$]*[^$\s]\$\s*(?P<separator>,|;|and|or)\s*\$[^$]+")
LONGEST_FORMULA = 4000
"""In characters; an inline formula that is longer would be prose between two prices."""
NEVER_FIRST = re.compile(r"\s*(?:[?,;:)\]]|\.(?!\d))")
AMOUNT_FOLLOWS = re.compile(r"\s?[\d.]*\d")
ENDING = re.compile(r"[\s.。*)}]*(?:です[。.]*)?\s*")
UNFINISHED = re.compile(r"[-+*/=(<>×·÷]\s*$|\\(?:times|cdot|div)\s*$")


def with_escaped_currency(text: str, hidden: Sequence[tuple[int, int]] = ()) -> str:
    r"""`text` with a backslash before each dollar sign that stands for money, so that the others delimit formulas.

    A dollar sign opens a formula if another one closes it and what is between them can be a formula: not an amount
    that runs on into prose or ends with an operator, nothing that starts with a closing mark.

    Args:
        hidden: start and end of the boxes, in order, whose contents are formulas of their own.
    """
    if "$" not in text:
        return text
    starts, ends = [start for start, _ in hidden], [0, *(end for _, end in hidden)]
    signs = [match for match in DOLLARS.finditer(text) if match[0][0] == "$"]
    signs = [sign for sign in signs if sign.start() >= ends[bisect(starts, sign.start())]]
    money: set[int] = set()
    closes = False
    """Whether the next sign closes a formula."""
    for sign, partner in zip_longest(signs, signs[1:]):
        if closes:
            closes = False
            continue
        display = len(sign[0]) == 2
        closes = bool(partner) and (display or opens_formula(text, sign.end(), partner.start(), partner.end()))
        if not closes and not display:
            money.add(sign.start())
    return DOLLARS.sub(lambda sign: f"\\{sign[0]}" if sign.start() in money else sign[0], text)


def opens_formula(text: str, start: int, end: int, after: int) -> bool:
    """Whether the text between two dollar signs is a formula."""
    if end - start > LONGEST_FORMULA or start == end:
        return False
    content = text[start:end]
    if "\n\n" in content or NEVER_FIRST.match(content):
        return False
    if not AMOUNT_FOLLOWS.match(content):
        return True
    if content[-1].isalpha() and ENDING.fullmatch(text, after):
        return True  # `$70 miles per hour$.`
    words = len(plain_words(content))
    if words >= 3 and "\\" not in content:
        return False
    # `$5 and $7`, `$3 x 2 = $6`: an amount, and another one after the second sign.
    another = AMOUNT_FOLLOWS.match(text, after) is not None
    return UNFINISHED.search(content) is None and not (another and (words or content != content.rstrip()))


def plain_words(text: str) -> list[str]:
    """The prose words of `text`: not in upright type, not environment names, not list conjunctions."""
    prose = UPRIGHT.sub(" ", text)
    return [word for word in WORD.findall(prose) if word.lower() not in LIST_WORDS]


def formula_of(match: re.Match[str]) -> str:
    """The formula in a match of `MATH`."""
    return next(group for group in match.groups() if group is not None)


def without_delimiters(text: str) -> str:
    """`text` without the dollar signs and brackets around its formulas; consecutive formulas become a list."""
    pieces: list[str] = []
    position = 0
    for match in MATH.finditer(text):
        between = text[position : match.start()]
        # A comma between two formulas separates the parts of a list; it is not a decimal comma.
        separates = bool(position) and between.strip() in ("", ",")
        pieces.append(", " if separates else between)
        formula = formula_of(match)
        # A whole sentence between dollar signs has formulas of its own.
        pieces.append(without_delimiters(formula) if MATH.search(formula) else formula)
        position = match.end()
    return "".join([*pieces, text[position:]]).strip()


def without_inner_dollars(text: str) -> str:
    """`a = 2$, $a = 3` without its dollar signs: two formulas of which a data set has stripped the outermost ones."""
    return text.replace("$", " ") if text.count("$") == 2 and INNER_DOLLARS.fullmatch(text) else text
