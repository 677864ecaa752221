"""Checks claims in the comments of the bound format's steps.

A comment is the plan for the next steps, but no interpreter runs it. So a right answer can have false comments: "n9
snakes have 0 legs" if the question has n9 sea slugs, or "leaving a + n6" if a - n6 is left and then computed correctly.
A policy trained on such steps learns to make false claims, and to follow them one step later.
"""

from __future__ import annotations

import re
from fractions import Fraction

from treestar.policy.formats.binding import bind_numbers
from treestar.selfevolve.bound.arithmetic import formula
from treestar.types import State

__all__ = ["misstates"]

NAMED = re.compile(r"\b(n\d+) ([a-z]+)")
"""A number of the question and the word after it."""

JOINING = frozenset((
    "a", "an", "and", "are", "as", "at", "by", "divided", "each", "equals", "for", "from", "give", "gives", "goes",
    "have", "in", "into", "is", "leaves", "leaving", "less", "makes", "minus", "more", "multiplied", "of", "off",
    "on", "or", "over", "per", "percent", "plus", "than", "that", "the", "then", "times", "to", "with",
))  # fmt: skip
"""Words that continue the sentence after a number instead of naming what it counts."""

LEFT = re.compile(r"\bleaving (.+)$", re.MULTILINE)
"""The part that a step claims is left to compute."""

ASSIGNMENT = re.compile(r"^([a-z]\w*) = (.+)$", re.MULTILINE)
EXPRESSION = re.compile(r"[a-z0-9 +*/()-]+")

Values = dict[str, Fraction]


def misstates(trajectory: State) -> bool:
    """Whether a step of a trajectory with the right answer makes a false claim about the question.

    Two kinds of claims are checked, those that the shipped policy was taught to make; all others are accepted. A number
    must be followed by the same word as in the question, and the part that a step claims is left to compute must have
    the same value after every step.

    Args:
        trajectory: in the bound format.
    """
    return misquotes(trajectory) or misleaves(trajectory)


def misquotes(trajectory: State) -> bool:
    """Whether the word after one of the question's numbers differs between a step and the question, except for plural
    endings."""
    question = bind_numbers(trajectory.problem.question).question
    named = {name: singular(word) for name, word in NAMED.findall(question) if word not in JOINING}
    return any(
        word not in JOINING and named.get(name, singular(word)) != singular(word)
        for step in trajectory.steps
        for name, word in NAMED.findall(step.text)
    )


def singular(word: str) -> str:
    return word.removesuffix("s")


def misleaves(trajectory: State) -> bool:
    """Whether the part that the steps claim is left changes its value between steps, or is not an expression. False if
    the code is more than arithmetic, because it cannot be checked then."""
    values: Values = {name: Fraction(literal) for name, literal in bind_numbers(trajectory.problem.question).values}
    worth: set[Fraction] = set()
    for step in trajectory.steps:
        for name, expression in ASSIGNMENT.findall(step.code):
            value = value_of(expression, values)
            if value is None:
                return False
            values[name] = value
        for expression in LEFT.findall(step.text):
            left = value_of(expression, values)
            if left is None:
                return True
            worth.add(left)
    return len(worth) > 1


def value_of(expression: str, values: Values) -> Fraction | None:
    """The exact value of an expression with the four operations; None if it is not one, or has no value."""
    found = formula(expression.replace("//", "/"), Fraction) if EXPRESSION.fullmatch(expression) else None
    try:
        return found and found(values)
    except (KeyError, ArithmeticError):
        return None
