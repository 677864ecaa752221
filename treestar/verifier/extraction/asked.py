"""What a question tells about its answer: the numbers that it gives, what it counts, its options, two values at once.

A reply that does not state its answer often ends in a sentence with several numbers. Those that the question gives are
rarely the answer, `350` of "It needs 21 liters for 350 km", and the number before the noun that "how many" asks for
usually is.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from treestar.verifier.extraction.phrases import last_match
from treestar.verifier.extraction.wording import any_of, worded
from treestar.verifier.notation.spoken_forms import NUMBERS, ONES

__all__ = ["NOTHING_ASKED", "NUMBER", "Asked", "claim_words", "is_given", "numbers_in", "read_question"]

LONGEST_QUESTION = 20_000
"""In characters; only the end of a longer one is read."""
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?|[¼-¾⅐-⅞]")
NUMBER_WORD = worded(rf"\b{any_of(*ONES)}\b")
VERB = any_of(
    "do|does|did|is|are|was|were|am|be|will|would|can|could|should|shall|must|may|might|has|have|had|there",
    r"in|on|at|of|per|for|to|from|with|if|when|left|remain\w*|total|altogether|he|she|it|they|we|you|I|each|every",
)
HOW_MANY = worded(
    rf"\bhow many (?:more |fewer |less |whole |full |total )?(?!{VERB}\b)"
    rf"(?P<noun>[^\W\d_]{{3,}}(?: (?!{VERB}\b)[^\W\d_]{{3,}}){{0,2}}?)"
    rf"(?! (?:and|or)\b)(?= {VERB}\b| [A-Z]|\s*[?.,\n]|\s*$)"
)
"""How many more pens does ..."""
OPTION = re.compile(
    r"(?:(?<![\w.])\(?(?P<closed>[A-J])\)"
    r"|(?:^|(?<=[\n:;,.?!]))(?:[ \t*$•-]|\\[a-z]{1,9}){0,8}(?<!\w)(?P<marked>[A-J])[.:])(?=\s*\S)"
)
"""`B)` anywhere; `B.` only where something begins, not in "those of group B. The ratio"."""
FEWEST_OPTIONS = 2
PAIR = worded(
    r"\b(?:find|compute|calculate|determine|give|state|what(?: (?:is|are|will be)|'s)) (?:both )?"
    r"(?:the|its|their|his|her) (?P<one>[^\W\d_]{3,}) and (?:(?:the|its|their|his|her) )?(?P<other>[^\W\d_]{3,})\b"
)
"""What are its area and perimeter"""
YES_OR_NO = worded(
    r"(?:^|[.!?:\n])[\s*]*(?:is|are|was|were|do|does|did|can|could|will|would|has|have|should) "
    r"(?P<claim>(?![^?]*\b(?:or|how|what|which|who|when)\b)[^?\n]{3,150})\?"
)
"""Is 91 a prime number?"""
CLAIM_WORD = re.compile(r"[^\W\d_]{3,}|\d[\d./,]*(?<=\d)")
NO_CLAIM = frozenset(
    ["the", "this", "that", "these", "those", "its", "his", "her", "their", "number", "have", "has", "exist"]
)


class Asked(NamedTuple):
    """What a question tells about its answer."""

    given: frozenset[str] = frozenset()
    """Its numbers, in one spelling."""
    noun: str = ""
    """What it counts, without the ending of a plural; "" if it counts nothing."""
    options: str = ""
    """The letters of its options."""
    pair: tuple[str, ...] = ()
    """The names of the two values that it asks for: "its area and perimeter"."""
    claim: frozenset[str] = frozenset()
    """The words and numbers of what it asks to confirm or deny: "Is 91 a prime number?"."""


NOTHING_ASKED = Asked()
"""What is known without a question."""


def read_question(question: str) -> Asked:
    """What `question` tells about its answer."""
    question = question[-LONGEST_QUESTION:]
    nouns = [match["noun"] for match in HOW_MANY.finditer(question)]
    pair = last_match(PAIR, question)
    claim = last_match(YES_OR_NO, question)
    return Asked(
        given=numbers_in(question),
        noun=stem(nouns[0].split()[-1]) if len(nouns) == 1 and "and" not in nouns[0].split() else "",
        options=options_in(question),
        pair=() if pair is None else (pair["one"].lower(), pair["other"].lower()),
        claim=frozenset()
        if claim is None or "?" in question[claim.end() :]
        else frozenset(claim_words(claim["claim"])) - NO_CLAIM,
    )


def claim_words(text: str) -> list[str]:
    return CLAIM_WORD.findall(text.lower())


def numbers_in(text: str) -> frozenset[str]:
    digits = NUMBER.findall(text)
    words = [NUMBERS[word.lower()] for word in NUMBER_WORD.findall(text)]
    return frozenset(map(spelled, [*digits, *words]))


def spelled(number: str) -> str:
    plain = number.replace(",", "")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def stem(noun: str) -> str:
    noun = noun.lower()
    if noun.endswith("ies"):
        return noun[:-3]
    return noun.removesuffix("s").removesuffix("e") if len(noun) > 3 else noun


def options_in(question: str) -> str:
    """The letters A, B, ... that mark options in `question`, as far as they come one after another."""
    letters = ""
    for match in OPTION.finditer(question):
        letter = match["closed"] or match["marked"]
        if ord(letter) == ord("A") + len(letters):
            letters += letter
    return letters if len(letters) >= FEWEST_OPTIONS else ""


def is_given(value: str, asked: Asked) -> bool:
    """Whether the question gives all numbers of a formula."""
    numbers = numbers_in(value)
    return bool(numbers) and numbers <= asked.given
