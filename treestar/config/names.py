"""What to say about a name that is not one of a few."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["suggestion", "unknown_name"]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The error message for `name`, which is not a known `kind` of thing: the one it probably misspells, then all."""
    choices = [*known]
    return f"unknown {kind} {name!r}: {suggestion(name, choices)}choose one of {', '.join(choices)}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A question about the known name that `name` probably misspells, and a space; empty if there is no such name."""
    meant = get_close_matches(name.lower(), [*known], n=1)
    return f"did you mean {meant[0]}? " if meant else ""
