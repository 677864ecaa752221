"""Takes out of a reply's prose what would hide a formula: emphasis, spaces in a ratio, signs in words, list marks."""

from __future__ import annotations

import re

from treestar.verifier.extraction.phrases import FURTHER_QUESTION
from treestar.verifier.notation.spoken_forms import NUMBERS

__all__ = ["tidied_prose"]

EMPHASIS = re.compile(r"(?<![\w)\]}*_\\^{])(\*{1,3}|__)(?=[^\s*_])([^\n*]{0,200}?(?<=[^\s*_]))\1(?![\w*_])")
HALF_DAY = re.compile(r"(?<=\d)\s?([ap])\.\s?m\b(?:\.(?!\s+(?-i:[A-Z])|\s*\Z))?", re.IGNORECASE)
DOTTED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3})+(?=\s?(?:€|euros?\b|pesos\b|reais\b))", re.IGNORECASE)
NEGATIVE = re.compile(r"(?<![\w-])negative\s+(\\?\$)?(?=\.?\d|\\[dt]?frac|\\sqrt)", re.IGNORECASE)
RATIO = re.compile(r"\bratio\b[^.:\n]{0,80}?\d(?:\d|\s(?::|to)\s(?=\d))+", re.IGNORECASE)
BETWEEN_TERMS = re.compile(r"\s(?::|to)\s")
SHARE = re.compile(
    r"\b(probability|chance|likelihood)(\s[^.:\n\d]{0,80}?\d+|\s[^.:\n]{0,80}?\b\d+(?=\sout\s))\s(?:out\s+of|in)\s(?=\d+\b(?!\.\d))",
    re.IGNORECASE,
)
ITEM = r"[ \t]*(?:[-*•]|\d[.)])[ \t]+(\$[^$\n]{1,80}\$|-?\d[\d.,/]{0,20}(?<=\d))[.,;]?[ \t]*(?:\n|\Z)"
BULLETS = re.compile(rf"(?<=\bare:)\s*\n((?:{ITEM}){{2,}})")
ITEMS = re.compile(ITEM)

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
MIXED = re.compile(
    rf"(?<![\w.,/-])(\d+|{WORDS})\s+and\s+(?:(?:a|one)[\s-](half|third|quarter)\b"
    r"|(\d+/\d+)(?=\s+(?!are\b|is\b|as\b|respectively)[a-z]{3}))",
    re.IGNORECASE,
)
"""A mixed number in words. Without a noun after it, "3 and 1/2" may be a list."""
SHARE_NEXT = re.compile(r"\band\s+(?:(?:a|one)[\s-](?:half|third|quarter)\b|\d+/\d)", re.IGNORECASE)
"""What every one of them has, and few texts."""
PARTS = {"half": "1/2", "third": "1/3", "quarter": "1/4"}
IN_WORDS = re.compile(r"\b(?:plus|minus|times|(?:multipli|divid)ed)\b|\s[-+*/]\s+[a-z]")
"""What every one of them has; most texts have none, and looking for it is cheap."""
WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(SYMBOLS, key=len, reverse=True))})(?![\w-])", re.IGNORECASE)


def tidied_prose(text: str) -> str:
    """`text` with its values as plain formulas: `**$10**` is `$10`, `negative 5` is `-5`, `7 p.m.` is `7 pm`,
    `7 minus four` is `7 - 4`, `two and a half` is `2 1/2`, and a probability of `1 in 6` is `1/6`."""
    if "*" in text or "__" in text:
        text = without_emphasis(text)
    text = HALF_DAY.sub(lambda match: f" {match[1].lower()}m", text)
    text = DOTTED.sub(lambda match: match[0].replace(".", ","), text)
    text = NEGATIVE.sub(lambda match: "$-" if match[1] == "$" else f"-{match[1] or ''}", text)
    if SHARE_NEXT.search(text):
        text = MIXED.sub(lambda m: f"{NUMBER_WORDS.get(m[1].lower(), m[1])} {m[3] or PARTS[m[2].lower()]}", text)
    text = with_symbols(text)
    text = RATIO.sub(lambda match: BETWEEN_TERMS.sub(":", match[0]), text)
    text = SHARE.sub(r"\1\2/", text)
    return BULLETS.sub(lambda match: " " + ", ".join(ITEMS.findall(match[1])) + "\n", text)


def without_emphasis(text: str) -> str:
    """`text` without Markdown's marks around words, except those that show where a further question begins."""
    return EMPHASIS.sub(lambda match: match[0] if FURTHER_QUESTION.match(text, match.start()) else match[2], text)


def with_symbols(text: str) -> str:
    """`text` with its calculations in digits and signs."""
    if IN_WORDS.search(text) is None:
        return text
    return CALCULATION.sub(lambda found: WORD.sub(lambda word: SYMBOLS[word[0].lower()], found[0]), text)
