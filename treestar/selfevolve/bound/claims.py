"""What the steps of the bound format say in words, where that can be checked.

A comment is the plan that the next steps follow, but no interpreter runs it. So a right answer can come with wrong
words: "n9 snakes have 0 legs" where the question has n9 sea slugs, or "leaving a + n6" of what leaves a - n6 and is
then computed correctly after all. A policy trained on such steps learns to say what is false, and one step later it
does what it says.
"""

from __future__ import annotations

import re
from fractions import Fraction

from treestar.policy.formats.binding import bind_numbers
from treestar.selfevolve.bound.arithmetic import formula
from treestar.types import State

__all__ = ["misstates"]

_NAMED = re.compile(r"\b(n\d+) ([a-z]+)")
"""A number of the question and the word after it."""

_JOINING = frozenset((
    "a", "an", "and", "are", "as", "at", "by", "divided", "each", "equals", "for", "from", "give", "gives", "goes",
    "have", "in", "into", "is", "leaves", "leaving", "less", "makes", "minus", "more", "multiplied", "of", "off",
    "on", "or", "over", "per", "percent", "plus", "than", "that", "the", "then", "times", "to", "with",
))  # fmt: skip
"""Words that continue the sentence after a number instead of naming what it counts."""

_LEFT = re.compile(r"\bleaving (.+)$", re.MULTILINE)
"""What a step says is left to compute."""

_ASSIGNMENT = re.compile(r"^([a-z]\w*) = (.+)$", re.MULTILINE)
_EXPRESSION = re.compile(r"[a-z0-9 +*/()-]+")

Values = dict[str, Fraction]


def misstates(trajectory: State) -> bool:
    """Whether a step of a trajectory with the right answer makes a false claim about the question.

    Two kinds of claim are checked, those that the shipped policy was taught to make; everything else is believed. A
    number must be followed by the word that follows it in the question, and what a step says it leaves to compute must
    have the same value after every step.

    Args:
        trajectory: in the bound format.
    """
    return misquotes(trajectory) or misleaves(trajectory)


def misquotes(trajectory: State) -> bool:
    """Whether a step puts another word after one of the question's numbers than the question does, plural endings
    aside."""
    question = bind_numbers(trajectory.problem.question).question
    named = {name: singular(word) for name, word in _NAMED.findall(question) if word not in _JOINING}
    return any(
        word not in _JOINING and named.get(name, singular(word)) != singular(word)
        for step in trajectory.steps
        for name, word in _NAMED.findall(step.text)
    )


def singular(word: str) -> str:
    return word.removesuffix("s")


def misleaves(trajectory: State) -> bool:
    """Whether what the steps say they leave changes its value between steps, or is not an expression. False where the
    code is more than arithmetic: nothing is known then."""
    values: Values = {name: Fraction(literal) for name, literal in bind_numbers(trajectory.problem.question).values}
    worth: set[Fraction] = set()
    for step in trajectory.steps:
        for name, expression in _ASSIGNMENT.findall(step.code):
            value = value_of(expression, values)
            if value is None:
                return False
            values[name] = value
        for expression in _LEFT.findall(step.text):
            left = value_of(expression, values)
            if left is None:
                return True
            worth.add(left)
    return len(worth) > 1


def value_of(expression: str, values: Values) -> Fraction | None:
    """The exact value of an expression in the four operations; None where it is not one, or has no value."""
    found = formula(expression.replace("//", "/"), Fraction) if _EXPRESSION.fullmatch(expression) else None
    try:
        return found and found(values)
    except (KeyError, ArithmeticError):
        return None
