"""Whether training questions repeat test questions: the 13-gram check of TinyGSM and others, with numbers left out.

Two questions overlap if they share 13 consecutive words, each number read as one same word. A test question of fewer
words overlaps if all of it is in the other. So a test question with other numbers is found too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["TEST_SETS", "Overlaps", "words_without_numbers"]

TEST_SETS = ("gsm8k_test", "svamp", "asdiv", "gsm_hard", "math500", "tabmwp_numeric")
"""The files of the sets that the model is measured on."""

LENGTH = 13

SHORTEST = 6
"""A test question of fewer words, such as "What is 5% of 80?", says nothing that every template does not."""


class Overlaps:
    """The word sequences of test questions.

    Args:
        questions: the test questions.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self.sequences: set[tuple[str, ...]] = set()
        for question in questions:
            words = words_without_numbers(question)
            if len(words) >= SHORTEST:
                self.sequences.update(windows(words, min(LENGTH, len(words))))
        self.lengths = sorted({len(each) for each in self.sequences})

    def __contains__(self, question: str) -> bool:
        words = words_without_numbers(question)
        return any(
            window in self.sequences
            for length in self.lengths
            if length <= len(words)
            for window in windows(words, length)
        )


def words_without_numbers(text: str) -> list[str]:
    """The words in lower case; every number is `#`."""
    plain = re.sub(r"\d[\d,.]*", "#", text.lower())
    return re.findall(r"#|[a-z]+", plain)


def windows(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))
