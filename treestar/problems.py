"""What callers give to be solved, as problems."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from treestar.types import Problem

__all__ = ["LONGEST_QUESTION", "as_problem", "as_problems"]

LONGEST_QUESTION = 100_000
"""In characters; much longer than any real problem."""


def as_problems(problems: Iterable[str | Problem]) -> list[Problem]:
    """Each of `problems` as `as_problem` makes it. Raises TypeError if it is one problem itself, and as that does."""
    if isinstance(problems, str | Problem):
        raise TypeError(f"problems must be a list, not one problem ({problems!r:.80}): put it in brackets")
    return [as_problem(problem, index) for index, problem in enumerate(problems)]


def as_problem(problem: str | Problem, index: int) -> Problem:
    """`problem` as a Problem whose answer is text.

    Raises:
        TypeError: it is neither a text nor a Problem.
        ValueError: the question is empty, too long or cannot be encoded, or the answer is neither text nor number.
    """
    problem = Problem(problem, id=str(index)) if isinstance(problem, str) else problem
    if not isinstance(problem, Problem):
        raise TypeError(f"a problem is a text or a treestar.Problem, not a {type(problem).__name__}: {problem!r:.80}")
    if isinstance(problem.answer, int | float):  # as files can have it
        problem = replace(problem, answer=str(problem.answer))
    question, answer = problem.question, problem.answer
    faults = {
        "question is empty": not question.strip(),
        f"question has {len(question):,} characters, more than {LONGEST_QUESTION:,}": len(question) > LONGEST_QUESTION,
        "question has half a character, which UTF-8 cannot encode": any(
            "\ud800" <= each <= "\udfff" for each in question
        ),
        f"answer must be a text, not a {type(answer).__name__}": not isinstance(answer, str | None),
    }
    if fault := next((each for each in faults if faults[each]), None):
        raise ValueError(f"problem {problem.id!r}: the {fault}")
    return problem
