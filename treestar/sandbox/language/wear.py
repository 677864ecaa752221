"""Tracks whether this process can still be used for the other branches of its tree.

Most effects of a step stay in its own namespace or are undone before the next one. Some change the libraries for every
step and cannot be undone: an attribute set on a library object, or a class that claims to be equal to everything and
ends up in sympy's caches. Such a step is allowed, but then its process ends, and other branches run their paths again
in a new one.
"""

from __future__ import annotations

__all__ = ["forget_wear", "wear", "worn_by"]

reasons: list[str] = []


def wear(reason: str) -> None:
    """Record that the running step changes the libraries of this process permanently."""
    reasons.append(reason)


def worn_by() -> str | None:
    """The first recorded reason since `forget_wear`, or None."""
    return reasons[0] if reasons else None


def forget_wear() -> None:
    """Clear the recorded reason."""
    reasons.clear()
