"""Calculations in words, with digits or without: `7 minus four` is `7 - 4`."""

from __future__ import annotations

import re

from treestar.verifier.notation.spoken_forms import NUMBERS

__all__ = ["with_symbols"]

NUMBER_WORDS = {word: value for word, value in NUMBERS.items() if value.isdigit()}
SYMBOLS = {
    **{"plus": "+", "minus": "-", "negative": "-", "times": "*", "multiplied by": "*", "divided by": "/"},
    **NUMBER_WORDS,
}
WORDS = "|".join([*NUMBER_WORDS, *map(str.capitalize, NUMBER_WORDS)])
LARGER = r"(?:hundred|thousand|[mb]illion|dozen|hal(?:f|ves)|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?)"
OPERAND = (
    r"(?<![\w.,^-])(?:(?:[Mm]inus|[Nn]egative)\s+)?"
    rf"(?:\\?\$?\d+(?:,\d{{3}})*(?:\.\d+)?|(?<!hundred )(?<!hundred and )(?:{WORDS}))"
    rf"(?![\w%/-]|[.,]\d|\s+{LARGER}\b)"
)
ENDS = r"(?=\s+\S+?(?:\s*(?:[.,;!?=)*\n]|\Z)|\s+(?:is|equals|plus|minus|times|divided)\b))"
OPERATOR = rf"(?:plus|minus|(?:multiplied|divided)\sby|(?:times|[-+*/]){ENDS})"
CALCULATION = re.compile(rf"{OPERAND}(?:\s+{OPERATOR}\s+{OPERAND}){{1,8}}+(?!\s+times\b)")
"""Not "3 times two days", which counts days, and not "2 - one red", which explains the 2."""
IN_WORDS = re.compile(r"\b(?:plus|minus|times|(?:multipli|divid)ed)\b|\s[-+*/]\s+[a-z]")
"""What every one of them has; most texts have none, and looking for it is cheap."""
WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(SYMBOLS, key=len, reverse=True))})(?![\w-])", re.IGNORECASE)


def with_symbols(text: str) -> str:
    """`text` with its calculations in digits and signs."""
    if IN_WORDS.search(text) is None:
        return text
    return CALCULATION.sub(lambda found: WORD.sub(lambda word: SYMBOLS[word[0].lower()], found[0]), text)
