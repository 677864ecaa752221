r"""What an answer says in words or in a local notation: numbers, bases, remainders, ordinals, integers, `]2,5[`."""

from __future__ import annotations

import re

from treestar.verifier.notation.rewriting import rule

__all__ = ["COUNT_WORDS", "NUMBERS", "ONES", "SPOKEN_ANSWERS", "SPOKEN_RULES", "declared_integer", "with_letter"]

ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SHARES = {
    "half": (1, 2), "one-half": (1, 2), "one-third": (1, 3), "two-thirds": (2, 3), "one-quarter": (1, 4),
    "one-fourth": (1, 4), "three-quarters": (3, 4), "three-fourths": (3, 4),
}  # fmt: skip
COUNT_WORDS = (*ONES, *TENS, "half", "third", "thirds", "quarter", "quarters")
NUMBERS = {
    **{word: str(number) for number, word in enumerate(ONES)},
    **{word: str(10 * tens) for tens, word in enumerate(TENS, start=2)},
    **{
        f"{word}-{one}": str(10 * tens + number)
        for tens, word in enumerate(TENS, start=2)
        for number, one in enumerate(ONES[1:10], start=1)
    },
    **{words: f"\\frac{{{top}}}{{{bottom}}}" for words, (top, bottom) in SHARES.items()},
    "onehundred": "100",
}
NUMBERS |= {f"{sign}{word}": f"-{value}" for sign in ("negative", "minus") for word, value in NUMBERS.items()}

BASE = rf"(?P<base>\d{{1,2}}|{'|'.join(ONES[2:11])})"
ORDINAL = r"(?:st|nd|rd|th)"
NUMBER = r"\\?\{?\w{1,12}\}?"


def in_base(match: re.Match[str]) -> str:
    return f"{match['digits']}_{{{NUMBERS.get(match['base'], match['base'])}}}"


def half_open(match: re.Match[str]) -> str:
    return f"{'(' if match[1] == ']' else '['}{match[2]}{')' if match[3] == '[' else ']'}"


def modulus(match: re.Match[str]) -> str:
    return f" \\pmod{{{match['modulus'].strip('{}')}}}"


SPOKEN_RULES = (
    rule(
        r"^\\text\{(?![^{}]*\b(?:not?|least|most|than)\b)[^{}]*(?:\b(?:is|are|equals)|:|=)\s*\}\s*(?=[-+]?\s*[\d.$(\[{√π]|[-+]?\s*\\(?!text))",
        "",
        "an introduction",
        mark="\\text",
    ),
    rule(r"\{:\}|\\text\{\s*:\s*\}", ":", "a colon without space", mark=":"),
    rule(r"\\pounds(?![a-zA-Z])\s*", "£", "one sign for pounds", mark="\\pounds"),
    rule(r"¢\s*(\d[\d.,]*)", r"\1¢", "the sign after the amount", mark="¢"),
    rule(r"\\?¢|(?<=\d)\s*\\(?:text)?cent(?![a-zA-Z])", r"\\text{ cents}", "cents in words"),
    rule(r"\\(?:lor|vee)(?![a-zA-Z])", " or ", "a logical or"),
    rule(r"_\s*\{?\s*\((\d{1,2})\)\s*\}?", r"_{\1}", "a base in brackets", mark="_"),
    rule(r"\\text\{\s*([0-9A-F]+)\s*\}(?=_)", r"\1", "upright digits", mark="_"),
    rule(
        r"_\s*\{\s*\\text\{\s*base\s*(?:\}\s*(\d{1,2})|(\d{1,2})\s*\})\s*\}",
        r"_{\1\2}",
        "a base in words",
        mark="base",
    ),
    rule(
        rf"^(?P<digits>[0-9A-F]+),?\s*(?:\\text\{{)?\s*\(?\s*(?:in\s+)?base[\s~-]*\}}?\s*{BASE}\s*\)?\s*\}}?\)?$",
        in_base,
        "a base in words",
        mark="base",
    ),
    rule(
        r"([\[\]])(\s*[^\[\](),;]+[,;][^\[\](),;]+)([\[\]])(?=\s*(?:$|\\cup|\\cap|∪|[Uu]\s*[\[\]]))",
        half_open,
        "open ends as reversed brackets",
    ),
    rule(
        rf"(?<=\d)\s*(?:\^\s*\{{\s*\\text\{{\s*{ORDINAL}\s*\}}\s*\}}|\^\s*\{{\s*{ORDINAL}\s*\}}|\^?\s*\\text\{{\s*{ORDINAL}\s*\}}|{ORDINAL})(?![A-Za-z])",
        "",
        "ordinal numbers",
    ),
    rule(r"\s*\\text\{\s*\(?mod\s*(?P<modulus>\w{1,12})\)?\s*\}", modulus, "one way to write a modulus", mark="mod"),
    rule(
        rf"\s*\(\s*(?:\\[pb]?mod|\\text\{{\s*mod\s*\}}|mod)\s*(?P<modulus>{NUMBER})\s*\)",
        modulus,
        "one way to write a modulus",
        mark="mod",
    ),
    rule(
        rf"(?<=\\equiv)(?P<rest>[^\\]*?)\s*(?:\\b?mod|(?<![a-zA-Z\\])mod)\s*(?P<modulus>{NUMBER})$",
        lambda m: m["rest"] + modulus(m),
        "one way to write a modulus",
        mark="\\equiv",
    ),
    rule(r"^\s*[a-zA-Z]\s*\\equiv(?=.*\\pmod)", "", "a name before a residue", mark="\\pmod"),
    rule(
        r"^(\d+)\s*(?:\\text\{\s*)?(?:R|r|remainder|rem\.?)(?:\s+of)?(?:\s*\})?\s*(\d+)$",
        r"\1\\text{ remainder }\2",
        "one way to write a remainder",
    ),
)

NO_SOLUTION = (
    "nosolution nosolutions norealsolution norealsolutions nosolutionsexist nosolutionexists thereisnosolution "
    "therearenosolutions thereisnorealsolution therearenorealsolutions norealsolutionsexist norealsolutionexists "
    "norealroots nointegersolutions emptyset theemptyset"
)
ENDLESS = (
    "infinitelymany infinitelymanysolutions thereareinfinitelymanysolutions infinitesolutions "
    "infinitenumberofsolutions aninfinitenumberofsolutions"
)
SPOKEN_ANSWERS = {
    **NUMBERS,
    **{words.replace("-", ""): value for words, value in NUMBERS.items()},
    **dict.fromkeys(NO_SOLUTION.split(), "\\{\\}"),
    **dict.fromkeys(ENDLESS.split(), "\\text{infinitely many of them}"),
    **dict.fromkeys(["allrealnumbers", "allreals", "therealnumbers"], "\\mathbb{R}"),
    **dict.fromkeys(["doesnotexist", "dne"], "\\text{undefined}"),
    **dict.fromkeys(["noon", "12noon", "12:00noon"], "12:00 PM"),
    **dict.fromkeys(["midnight", "12midnight", "12:00midnight"], "12:00 AM"),
}
"""Answers in words, as `words_of` gives them, in LaTeX."""

INTEGERS = r"(?:\\mathbb\s*\{?\s*Z\s*\}?|\\text\{\s*Z\s*\}|Z)"
INTRODUCED = (
    r"(?:\\text\{[\s,]*(?:where|for|with)(?:\s+(?:any|all|every|some))?(?:\s+integers?)?[\s,]*\}"
    r"|where|for(?:\s+(?:any|all|every))?)"
)
DECLARATION = re.compile(
    rf"[\s,;]*(?:{INTRODUCED})?[\s,]*\(?\s*(?P<member>[a-zA-Z])\s*\\in\s*{INTEGERS}\s*\)?\s*$"
    rf"|[\s,;]*(?:{INTRODUCED})?[\s,]*\(?\s*(?P<called>[a-zA-Z])\s*(?:\\text\{{\s*)?is\s+an(?:y)?\s+(?:arbitrary\s+)?integer\s*\}}?\s*\)?\s*$"
    r"|[\s,;]*(?:\\text\{[\s,]*)?(?:where|for|with)\s+(?:(?:any|all|every|some|an)\s+)?integers?\s*\}?\s*(?P<named>[a-zA-Z])\s*\}?\s*$"
)
"""At the end of an answer: what says that a letter in it is any integer."""


def declared_integer(text: str) -> tuple[str, str]:
    r"""An answer without the declaration of its integer, and that letter: `x = k\pi` and `k` of
    `x = k\pi, k \in \mathbb{Z}`; the letter is "" if none is declared, or if the rest does not contain it."""
    if "Z" not in text and "integer" not in text:
        return text, ""
    match = DECLARATION.search(text)
    if match is None:
        return text, ""
    letter, rest = str(match[match.lastgroup or 0]), text[: match.start()].rstrip()
    return (rest, letter) if len(rest) > 1 and alone(letter).search(rest) else (text, "")


def with_letter(text: str, letter: str, wanted: str) -> str:
    """`text` with `wanted` in place of `letter`, unless it has both."""
    return text if alone(wanted).search(text) else alone(letter).sub(f" {wanted} ", text)


def alone(letter: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])")
