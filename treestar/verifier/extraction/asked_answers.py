"""Reads in a reply what its question asks for: an option, a verdict, two values."""

from __future__ import annotations

import re

from treestar.verifier.extraction.asked import Asked, claim_words
from treestar.verifier.extraction.formulas import last_formula
from treestar.verifier.extraction.phrases import last_match
from treestar.verifier.extraction.remarks import last_sentence_start
from treestar.verifier.extraction.wording import SO, worded

__all__ = ["asked_answer"]

LONGEST_END = 3000
"""In characters: only the end of a longer reply is read."""
NEGATION = worded(r"\b(?:not|cannot|never)\b", r"n't\b")
IMPOSSIBLE = worded(rf"^\W*(?:{SO}\W+)?(?:it|this|that) is (?:not |im)possible\b")
UNDECIDED = worded(r"\b(?:if|whether|check\w*|determin\w+|suppose|assum\w+|let|see|know)\b", r"\?")
FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
VALUE_END = r"(?P<value>(?:(?!\.(?!\d)|,(?!\d)|;|\n|\s+and\s+(?!\d)).){1,120})"


def asked_answer(text: str, asked: Asked) -> str | None:
    """The option, the verdict or the two values that the question asks for, if `text` says them; else None."""
    text = text[-LONGEST_END:].rstrip()
    sentence = text[last_sentence_start(text) :]
    return named_option(sentence, asked) or implied_verdict(text, sentence, asked) or paired_values(text, asked)


def named_option(sentence: str, asked: Asked) -> str | None:
    """The only option that `sentence` names."""
    if not asked.options or NEGATION.search(sentence):
        return None
    letter = f"[{asked.options}]"
    alone = set(re.findall(rf"(?<![\w.\\])(?!A\s+(?!is\b|has\b|because\b|since\b)[a-z])({letter})(?![\w'’])", sentence))
    says = re.search(
        rf"\({letter}\)|(?<![\w.\\]){letter}(?=[).:]|(?:\s+\([^()]*\))?\s+(?:is|has|because|since)\b|\W*$)", sentence
    )
    return alone.pop() if len(alone) == 1 and says is not None else None


def implied_verdict(text: str, last: str, asked: Asked) -> str | None:
    """Yes or no, if the last or the first sentence asserts or denies all that the question asks to confirm."""
    if not asked.claim:
        return None
    if IMPOSSIBLE.search(last):
        return "no"
    for sentence in (last, FIRST_SENTENCE.split(text.lstrip(), maxsplit=1)[0]):
        words = claim_words(sentence)
        if UNDECIDED.search(sentence) is None and all(
            any(word == claimed or (word.isalpha() and word.startswith(claimed)) for word in words)
            for claimed in asked.claim
        ):
            return "no" if NEGATION.search(sentence) else "yes"
    return None


def paired_values(text: str, asked: Asked) -> str | None:
    """The values of the two names that the question asks for, in its order."""
    values = []
    for name in asked.pair:
        said = last_match(
            re.compile(rf"\b{re.escape(name)}\b[^.\n=:,;]{{0,60}}?(?:\b(?:is|are)\b|=|:)\s*{VALUE_END}", re.IGNORECASE),
            text,
        )
        value = None if said is None else last_formula(said["value"])
        if value is None:
            return None
        values.append(value)
    return ", ".join(values) or None
