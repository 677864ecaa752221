"""Reads problems from JSON Lines. An invalid line is reported by its number; the others are kept."""

from __future__ import annotations

from pathlib import Path

from treestar.benchmarks.datasets import problem_from_line
from treestar.problems import as_problem
from treestar.storage.lines import numbered_lines
from treestar.types import Problem, TreestarError

__all__ = ["read_problems"]


def read_problems(path: Path) -> tuple[list[Problem], list[str]]:
    """The problems in `path` (fields: `question`, optionally `id` and `answer`), and an error message for each invalid
    line. A problem without an id gets its line number.

    Raises:
        TreestarError: the file cannot be read, or is empty.
    """
    problems: list[Problem] = []
    faults: list[str] = []
    for number, line in numbered_lines(path):
        try:
            problems.append(as_problem(problem_from_line(line, number), number))
        except ValueError as error:
            faults.append(f"{path}, line {number}: {error}")
    if not problems and not faults:
        raise TreestarError(f"{path} has no problem: put a JSON object with a `question` on each line")
    return problems, faults
