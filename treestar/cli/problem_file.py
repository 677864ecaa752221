"""Reads problems from JSON Lines or an array. An invalid one is reported by its place; the others are kept."""

from __future__ import annotations

from pathlib import Path

from treestar.benchmarks.datasets import problem_from_line
from treestar.problems import as_problem
from treestar.storage.lines import read_rows
from treestar.types import Problem, TreestarError

__all__ = ["read_problems"]


def read_problems(path: Path) -> tuple[list[Problem], list[str]]:
    """The problems in `path` (fields: `question`, optionally `id` and `answer`), and an error message for each invalid
    one. A problem without an id gets its line number, or its place in the array.

    Raises:
        TreestarError: the file cannot be read, or is empty.
    """
    problems: list[Problem] = []
    faults: list[str] = []
    for row in read_rows(path):
        try:
            problems.append(as_problem(problem_from_line(row.text, row.number), row.number))
        except ValueError as error:
            faults.append(f"{path}, {row.where}: {error}")
    if not problems and not faults:
        raise TreestarError(f"{path} has no problem: put a JSON object with a `question` on each line")
    return problems, faults
