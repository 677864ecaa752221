"""What to say about a name that is not one of a few."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["unknown_name"]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The error message for `name`, which is not a known `kind` of thing: the one it probably misspells, then all."""
    choices = [*known]
    meant = get_close_matches(name.lower(), choices, n=1)
    question = f"did you mean {meant[0]}? " if meant else ""
    return f"unknown {kind} {name!r}: {question}choose one of {', '.join(choices)}"
