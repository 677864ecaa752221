"""Names before a value (`x =`, `|AB| =`, `m + n =`) and letters of multiple-choice answers."""

from __future__ import annotations

import re
from typing import NamedTuple

from treestar.verifier.notation.canonical import squeeze

__all__ = ["Choice", "is_function_label", "is_label", "read_choice"]

LONGEST_LABEL = 60
"""In characters."""
SUBSCRIPT = r"(?:_\{(?:[^{}]|\{[^{}]*\})*\}|_[A-Za-z0-9])?"
GREEK = "alpha|beta|gamma|delta|theta|lambda|mu|sigma|phi|omega|rho|epsilon|tau|psi|ell|Delta"
LETTER = rf"(?:[A-Za-z]|\\(?:{GREEK})){SUBSCRIPT}'*"
LABELS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"{LETTER}",
        rf"{LETTER}(?:\^\{{-1\}})?\([^=]*\)",  # f(x), f^{-1}(x), P(A|B)
        r"\|?[A-Z]{2,}'?\|?",  # a segment, a triangle
        rf"\|(?:{LETTER}|\\vec\{{[a-zA-Z]+\}}|[A-Z]+)\|",
        rf"\\(?:angle|triangle|overline|overrightarrow|vec|hat|bar|measuredangle)\s*\{{?[A-Za-z]+\}}?{SUBSCRIPT}",
        r"(?:m\\angle\s?|\\text\{[^{}]*\}|[A-Za-z ]{3,60})[A-Z]*",  # words: Area, Total cost
        rf"\\frac\{{d{LETTER}\}}\{{d{LETTER}\}}",
        rf"\\(?:sin|cos|tan|cot|sec|csc)\(?(?:{LETTER}|\s?[A-Z]+|\\angle\s?[A-Z]+)\)?",
        rf"\\(?:sin|cos|tan|cot|sec|csc)(?:\(?\d\\(?:{GREEK})\)?|\((?:[A-Z]|\\(?:{GREEK}))[-+](?:[A-Z]|\\(?:{GREEK}))\))",
        rf"\(?{LETTER}\\circ\s?{LETTER}\)?\([^=]*\)",  # (f o g)(x)
        r"(?:\\mathbb\{E\}|E|P|\\Pr|\\text\{[A-Za-z]{1,4}\}|Var|Cov)[(\[][^=]*[)\]]",  # E[X], Var(X)
        r"\\lim_\{(?:[^{}]|\{[^{}]*\})*\}[^=]*",
        rf"\((?:{LETTER},)+{LETTER}\)",  # (x, y)
        rf"[A-Z]{SUBSCRIPT}(?:[A-Z]{SUBSCRIPT})*:[A-Z]{SUBSCRIPT}(?:[A-Z]{SUBSCRIPT})*",  # a ratio of areas
    )
)
FRACTION = rf"\\frac\{{(?:{LETTER}){{1,4}}\}}\{{(?:{LETTER}){{1,4}}\}}"
COMPOUND = re.compile(rf"(?:{LETTER}|{FRACTION})(?:(?:\+|-|/|\\cdot)?{LETTER})+|{FRACTION}")
ZERO = re.compile(r"[-+]?0(?:\.0*)?")
CONSTANTS = ("e", "i", "\\pi")


def is_label(text: str, value: str) -> bool:
    """Whether `text` in `text = value` merely names the value.

    Sums and products of bare letters do (`m + n = 34`), except before zero; text with numbers is part of an equation
    (`2x + z = 1`).
    """
    text = squeeze(text)
    if len(text) > LONGEST_LABEL or text in CONSTANTS:
        return False
    if any(label.fullmatch(text) for label in LABELS):
        return True
    return COMPOUND.fullmatch(text) is not None and ZERO.fullmatch(squeeze(value)) is None


def is_function_label(text: str, value: str) -> bool:
    """Whether `text = value` defines a function: `f(x) = 2x + 3`, or `y = 2x + 3`, whose value has a variable."""
    text = squeeze(text)
    if re.fullmatch(rf"{LETTER}\({LETTER}\)", text):
        return True
    return text == "y" and re.search(r"(?<![\\A-Za-z])[a-zA-Z](?![A-Za-z])", value) is not None


class Choice(NamedTuple):
    """A multiple-choice answer: its letter and the text after it."""

    letter: str
    rest: str


CONTINUES = r"[+*/^_=<>!']|-\s|\\(?:cdot|times|div|cup|cap|setminus|le|ge|ne|in|pm|approx|equiv|to)(?![a-zA-Z])"
"""What continues a formula makes the letter before it a variable, not a choice: `(A) + 1`, `A^{-1}`."""
VALUE = rf"(?P<rest>(?!{CONTINUES})\S.*)"
CHOICES = (
    re.compile(r"(?P<upright>\\text\{\s*)?\(?(?P<letter>[A-H])\)?[.:]?(?(upright)\s*\})(?P<rest>)"),
    re.compile(r"\((?P<letter>[a-h])\)(?P<rest>)"),
    re.compile(rf"\\text\{{\s*\((?P<letter>[A-H])\)[.:]?\s*\}}\s*{VALUE}", re.DOTALL),
    re.compile(rf"\\text\{{\s*(?P<letter>[A-H])[).:]\s*\}}\s*{VALUE}", re.DOTALL),
    re.compile(rf"\((?P<letter>[A-H])\)[.:]?\s+{VALUE}", re.DOTALL),
    re.compile(rf"(?P<letter>[A-H])[.):]\s+{VALUE}", re.DOTALL),
    re.compile(r"(?P<letter>[A-H])\s+-\s+(?P<rest>(?=.*[A-Za-z]{3})(?!\\)[A-Za-z][A-Za-z ,.']*)"),  # E - some words
    re.compile(r"\\text\{\s*(?:option|choice)\s*:?\s*\(?(?P<letter>[A-H])\)?\.?\s*\}(?P<rest>)", re.IGNORECASE),
    re.compile(r"(?:option|choice|answer)\s*:?\s*\(?(?P<letter>[A-H])\)?\.?(?P<rest>)", re.IGNORECASE),
)


def read_choice(text: str) -> Choice | None:
    """`text` as a multiple-choice answer: `B`, `(B)`, `\\text{(B)} 12`, `B. 12`; None for anything else."""
    for pattern in CHOICES:
        match = pattern.fullmatch(text)
        if match is not None:
            return Choice(match["letter"].upper(), match["rest"].strip())
    return None
