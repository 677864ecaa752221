"""Rewords reasoning-gym's questions that ask to calculate an expression."""

from __future__ import annotations

from random import Random

__all__ = ["reworded"]

WORDINGS = ("Calculate {}.", "What is {}?", "Compute {}.", "Evaluate: {}.", "Solve {}.")
"""Ways to ask for the value of an expression. The levels here use only the first; users also try the others."""


def reworded(question: str, random: Random) -> str:
    """`question` in another of WORDINGS, if it has the first."""
    begin, end = WORDINGS[0].split("{}")
    if not question.startswith(begin):
        return question
    return random.choice(WORDINGS[1:]).format(question.removeprefix(begin).removesuffix(end))
