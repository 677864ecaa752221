"""Rewriting rules: a regular expression, its replacement, and the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["Rule", "rewritten", "rule"]

Replacement = str | Callable[[re.Match[str]], str]


class Rule(NamedTuple):
    """One rewriting step."""

    pattern: re.Pattern[str]
    replacement: Replacement
    reason: str
    """Why the two notations are equivalent, for readers of the tables."""


def rule(pattern: str, replacement: Replacement, reason: str) -> Rule:
    """A rule from the source of its regular expression."""
    return Rule(re.compile(pattern), replacement, reason)


def rewritten(text: str, rules: Iterable[Rule]) -> str:
    """`text` after applying each rule in order."""
    for pattern, replacement, _ in rules:
        text = pattern.sub(replacement, text)
    return text
