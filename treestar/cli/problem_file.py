"""Reads problems from JSON Lines; a line that is no problem is reported by its number and the others are kept."""

from __future__ import annotations

import json
from pathlib import Path

from treestar.solver import as_problem
from treestar.types import Problem, TreestarError

__all__ = ["read_problems"]

FIELDS = {"id", "question", "answer"}


def read_problems(path: Path) -> tuple[list[Problem], list[str]]:
    """The problems in `path` (fields: `question`, and where known `id` and `answer`), and a sentence for each line that
    holds none. A problem without an id is given its line number.

    Raises:
        TreestarError: the file cannot be read.
    """
    try:
        # Not splitlines(): JSON text may hold U+2028 and its like, which end no line of JSON Lines.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TreestarError(f"problems cannot be read from {path}: {reason}") from error
    problems: list[Problem] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            problems.append(as_problem(problem_from_line(line, number), number))
        except ValueError as error:
            faults.append(f"{path}, line {number}: {error}")
    return problems, faults


def problem_from_line(line: str, number: int) -> Problem:
    """The problem in one line. Raises ValueError saying what is wrong with it."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from error
    except RecursionError as error:
        raise ValueError("not JSON that can be read: it is nested too deeply") from error
    if not isinstance(data, dict) or not isinstance(data.get("question"), str):
        raise ValueError("not an object with a text `question`")
    answer = data.get("answer")
    return Problem(
        question=data["question"],
        answer=None if answer is None else str(answer),
        id=str(data.get("id", number)),
        metadata={name: value for name, value in data.items() if name not in FIELDS},
    )
