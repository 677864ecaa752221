"""Writes expressions for prose as the prose they match: a space is any white space, and ' is either apostrophe."""

from __future__ import annotations

import re

__all__ = ["SO", "any_of", "worded"]

APOSTROPHE = re.compile("'(?!’)")


def any_of(*alternatives: str) -> str:
    """The source of an expression that matches any of `alternatives`, themselves sources in this spelling."""
    return "(?:" + APOSTROPHE.sub("['’]", "|".join(alternatives).replace(" ", r"\s+")) + ")"


def worded(*alternatives: str, flags: re.RegexFlag = re.IGNORECASE) -> re.Pattern[str]:
    """The expression that matches any of `alternatives`, in small letters and capitals unless `flags` differ."""
    return re.compile(any_of(*alternatives), flags)


SO = any_of("so", "thus", "hence", "therefore")
