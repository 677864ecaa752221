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
    mark: str
    """Text that every match contains; a search for it is many times faster than one for the pattern."""


def rule(pattern: str, replacement: Replacement, reason: str, mark: str = "") -> Rule:
    """A rule from the source of its regular expression."""
    return Rule(re.compile(pattern), replacement, reason, mark)


def rewritten(text: str, rules: Iterable[Rule]) -> str:
    """`text` after applying each rule in order."""
    for pattern, replacement, _, mark in rules:
        if mark in text:
            text = pattern.sub(replacement, text)
    return text
