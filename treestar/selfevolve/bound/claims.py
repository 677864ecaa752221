"""What the steps of the `bound` form say in words, where that can be checked.

A comment is the plan that the next steps go by, but no interpreter runs it, so a right answer comes about under wrong
words too: "n9 snakes have 0 legs" where the question has n9 sea slugs, or "leaving a + n6" of what leaves a - n6 and is
then computed rightly after all. A policy that is trained on such steps learns to say what is not so, and one step later
it does what it says.
"""

from __future__ import annotations

import re
from fractions import Fraction

from treestar.policy.formats.binding import bind_numbers
from treestar.types import State

__all__ = ["misstates"]

_NAMED = re.compile(r"\b(n\d+) ([a-z]+)")
"""A number of the question and the word after it."""

_JOINING = frozenset((
    "a", "an", "and", "are", "as", "at", "by", "divided", "each", "equals", "for", "from", "give", "gives", "goes",
    "have", "in", "into", "is", "leaves", "leaving", "less", "makes", "minus", "more", "multiplied", "of", "off",
    "on", "or", "over", "per", "percent", "plus", "than", "that", "the", "then", "times", "to", "with",
))  # fmt: skip
"""Words that lead on from a number rather than name what it counts."""

_LEFT = re.compile(r"\bleaving (.+)$", re.MULTILINE)
"""What a step says is left to compute."""

_ASSIGNMENT = re.compile(r"^([a-z]\w*) = (.+)$", re.MULTILINE)
_EXPRESSION = re.compile(r"[a-z0-9 +*/()-]+")
_LITERAL = re.compile(r"\b\d+\b")

Values = dict[str, Fraction]


def misstates(trajectory: State) -> bool:
    """Whether a step of a trajectory with the right answer says something of the question that is not so.

    Two kinds of claim are checked, those that the embedded policy's teachers make; whatever else is said is believed:
    a number must be called by the word that stands after it in the question, and what a step says it leaves must be
    worth the same after every step.

    Args:
        trajectory: in the `bound` form.
    """
    return misquotes(trajectory) or misleaves(trajectory)


def misquotes(trajectory: State) -> bool:
    """Whether a step calls one of the question's numbers by another word than the question does, ends of plurals
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
    """Whether what the steps say they leave changes its value from step to step, or is no expression. False where the
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
    """The exact value of an expression in the four operations; None where it is none, or has none."""
    if not _EXPRESSION.fullmatch(expression) or "**" in expression:
        return None
    exact = _LITERAL.sub(r"Fraction(\g<0>)", expression.replace("//", "/").strip())
    try:
        value = eval(exact, {"__builtins__": {}, "Fraction": Fraction}, dict(values))
    except (SyntaxError, NameError, TypeError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, Fraction) else None
