"""Whether this process is still as good as a fresh one for the other branches of its tree.

Most of what a step does stays in its own namespace or is put back for the next one. Some of it changes what the
libraries keep for every step, in ways that nobody can put back: an attribute set on an object of a library, a class
that claims to be equal to everything and lands in sympy's caches. Such a step is allowed, but its process then ends,
and the others run their paths again in another.
"""

from __future__ import annotations

__all__ = ["forget_wear", "wear", "worn_by"]

reasons: list[str] = []


def wear(reason: str) -> None:
    """Say that the running step leaves a mark on the libraries of this process."""
    reasons.append(reason)


def worn_by() -> str | None:
    """The first mark since `forget_wear`, or None."""
    return reasons[0] if reasons else None


def forget_wear() -> None:
    """Begin anew."""
    reasons.clear()
