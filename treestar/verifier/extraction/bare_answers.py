"""Tells a bare answer, which is compared as it is, from sentences that an answer has to be read from."""

from __future__ import annotations

import re

from treestar.verifier.extraction.delimiters import MATH, plain_words
from treestar.verifier.extraction.phrases import ANSWER_PHRASE, CONNECTIVE, OTHER_SCRIPT
from treestar.verifier.extraction.verbal import OPTION_MARK
from treestar.verifier.extraction.wording import any_of, worded

__all__ = ["is_prose"]

FEWEST_WORDS = 5
"""Plain words that make a text without formulas a sentence; beside LaTeX commands one fewer is enough."""

LATEX_COMMAND = re.compile(r"\\[a-zA-Z]{2,}")
DIGIT = re.compile(r"\d")
STRUCTURED = worded(r"\s*(?:#{1,6}\s|[*_]*(?:step|answer|final answer|solution|explanation)\b)[^\n]*\n")
"""A heading, or another line that says what the next ones are."""
FURTHER_SENTENCE = re.compile(r"[.!?]\**[ \t]+(?=[A-Z][a-z])|\n[ \t]*\n[ \t]*(?=[A-Z][a-z])")
"""After a number: `4. This is because 2 + 2 = 4.`"""
VERB = any_of(
    "is", "are", "was", "were", "equals?", "costs?", "has", "have", "had", "pays?", "gets?", "makes?", "needs?",
    "gives?", "sells?", "earns?", "spends?", "left",
)  # fmt: skip
SUBJECT = any_of(
    "the", "this", "that", "it", "he", "she", "they", "we", "there", "his", "her", "their", "each", "i", "you"
)
SHORT_SENTENCE = re.compile(
    any_of(
        r"[^\d]*(?:\d+[^\d]+)?\b(?:it|that|there|he|she)'s [-\d\\$][^a-z]*",  # There's 1 left
        r"(?!.*\b(?:at|than|not|no|if|all|every|between)\b)"
        + any_of(
            r"(?:it|he|she|they|we|this) [a-z]+ (?:[a-z]+ ){0,2}[-\d\\$]",  # It takes 5 hours
            rf"{SUBJECT} (?:[\w'’]+ ){{0,3}}{VERB}\s[^.]*\d",  # Her share is 5
        ),
    ),
    re.IGNORECASE | re.DOTALL,
)
"""A sentence of a few words that ends in a number, and in nothing that changes its meaning."""
WHOLE_SENTENCE = re.compile(r"[^\W\d_a-z][^.\\]*\d[^.\\]*\.")
"""A capital letter, a number and a full stop."""
PRICE_IN_WORDS = re.compile(r"(?=[^$]*\\\$)[^\d$\\]*[^\W\d_]{3,}[^\d]*\d")
"""A word before an amount of money."""
QUALIFIED = worded(
    r"\b(?:at|than|not|no|if|all|any|every|between|under|over|up|from|less|more|except|without|other|or|when|where|for"
    r"|infinitely|solutions?|odd|even|multiples?|primes?|integers?|powers?)\b"
)
"""What makes an amount or a number more than that: `at most $5`, `5 or more`."""


def is_prose(text: str) -> bool:
    """Whether `text` consists of sentences with formulas, rather than one answer."""
    outside = MATH.sub(" ", text)
    words = plain_words(outside)
    has_formula = MATH.search(text) is not None
    has_command = LATEX_COMMAND.search(outside) is not None
    before_number, *after_number = DIGIT.split(outside, maxsplit=1)
    if ANSWER_PHRASE.search(outside) or STRUCTURED.match(text):
        return True
    if words and any(map(FURTHER_SENTENCE.search, after_number)) and OPTION_MARK.match(text) is None:
        return True
    if CONNECTIVE.match(outside) and (len(words) > 1 or has_formula or has_command or after_number):
        return True
    if after_number and len(OTHER_SCRIPT.findall(before_number)) > 1:
        return True  # Words in another script before a number make a sentence; after it, they are its unit.
    if SHORT_SENTENCE.match(outside):
        return True
    if not QUALIFIED.search(outside) and (
        PRICE_IN_WORDS.match(outside) or (WHOLE_SENTENCE.fullmatch(outside) and len(words) >= 3)
    ):
        return True
    if has_command:
        # LaTeX without dollar signs has its words in \text{...}; a sentence has others.
        return len(words) >= FEWEST_WORDS - 1
    return bool(words) if has_formula else len(words) >= FEWEST_WORDS
