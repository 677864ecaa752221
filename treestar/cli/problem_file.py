"""Reads problems from JSON Lines, an array or a table. An invalid one is reported by its place; the others are kept."""

from __future__ import annotations

from pathlib import Path

from treestar.benchmarks.datasets import problem_from_line
from treestar.problems import as_problem
from treestar.storage.lines import read_rows
from treestar.types import Problem, TreestarError

__all__ = ["read_problems"]


WANTED = "put a JSON object with a `question` on each line, or give a table with that column as .csv"


def read_problems(path: Path) -> tuple[list[Problem], list[str]]:
    """The problems in `path` (fields: `question`, optionally `id` and `answer`), and an error message for each invalid
    one. A problem without an id gets its line number, or its place in the array or table.

    Raises:
        TreestarError: the file cannot be read, or has no problem.
    """
    problems: list[Problem] = []
    faults: list[str] = []
    for row in read_rows(path):
        try:
            problems.append(as_problem(problem_from_line(row.text, row.number), row.number))
        except ValueError as error:
            faults.append(f"{path}, {row.where}: {error}")
    if not problems:
        others = f", and the {len(faults) - 1} after it are not problems either" if len(faults) > 1 else ""
        raise TreestarError(f"{faults[0]}{others}: {WANTED}" if faults else f"{path} has no problem: {WANTED}")
    return problems, faults
