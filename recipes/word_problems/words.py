"""The words of `words.yaml`: for templates, for exchanging people, and those that names of variables leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

__all__ = ["NUMBER_WORDS", "WORDS"]


def read() -> dict[str, list[str]]:
    words: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
    return {**words, "person": [*words["girl"], *words["boy"]]}


WORDS: Mapping[str, Sequence[str]] = read()

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS = (*ONES, *(f"{ten}-{ONES[one]}" if one else ten for ten in TENS for one in range(10)))
"""The words of 0 to 99."""
