"""The results file of `solve_many(out=...)`: one JSON object per line, appended as each problem is finished.

An interrupted run continues when it is started again: problems in the file are not solved again. Every line contains
the settings of its run, and a file with other settings is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from treestar.config.renamed import current_names
from treestar.search import SearchConfig, SearchResult
from treestar.storage.lines import partial_line, read_lines
from treestar.storage.settings import check_same_settings
from treestar.types import Problem, TreestarError, Verifier

__all__ = ["ResultKey", "append_result", "result_key", "results_of", "settings_of", "with_problem"]

KIND = "a treestar result"
"""What a line is, for error messages."""

BEGINNING = b'{"id": '
"""How every line begins."""

ResultKey = tuple[str, str]
"""A problem's id and question."""


def result_key(problem: Problem) -> ResultKey:
    """The key of a result in the file."""
    return problem.id, problem.question


def settings_of(policy: str, ppm: str | None, search: SearchConfig, seed: int, **written: str | None) -> dict[str, Any]:
    """The settings that results depend on. `policy` and `ppm` are the models' names; `written` is how the policy writes
    its steps, as far as it is known."""
    known = {name: value for name, value in written.items() if value}
    return {"policy": policy, "ppm": ppm, "search": type(search).__name__, "seed": seed, **search.to_json(), **known}


def iter_results(path: Path, settings: dict[str, Any]) -> Iterator[SearchResult]:
    """The finished results in `path`, one in memory at a time; none if it does not exist, or keeps nothing (a pipe).

    Raises:
        TreestarError: the file cannot be read, a line is not a result, or it was made with other settings; or it ends
            in the middle of a line that no killed run has left, and that the next one would remove.
    """

    def parse(line: dict[str, Any]) -> SearchResult:
        made_with = current_names(line.pop("settings"))
        result = SearchResult.from_json(line)
        check_same_settings(path, made_with, settings)
        return result

    if path.is_file():  # reading /dev/full, or a pipe, would not end
        yield from read_lines(path, parse, KIND)
        if not may_be_cut_off(partial_line(path)):
            raise TreestarError(f"{path} ends with a line that is not {KIND}: choose another file")


def may_be_cut_off(rest: bytes) -> bool:
    """Whether a run that was killed can have left `rest` after the last line break: the beginning of a result."""
    if not rest.startswith(BEGINNING[: len(rest)]):
        return False
    try:
        json.loads(rest)
    except ValueError:
        return True
    return False


def results_of(problems: Sequence[Problem], path: Path, settings: dict[str, Any]) -> dict[int, SearchResult]:
    """The results in `path`, by the index of their problem in `problems`. Raises as `iter_results` does."""
    keys = {result_key(problem) for problem in problems}
    read = {key: each for each in iter_results(path, settings) if (key := result_key(each.problem)) in keys}
    return {place: read[key] for place, each in enumerate(problems) if (key := result_key(each)) in read}


async def with_problem(result: SearchResult, problem: Problem, verifier: Verifier | None) -> SearchResult:
    """A result that was read back, for the problem as it is now: its gold answer can have changed.

    Raises:
        TreestarError: it has, and there is no verifier.
    """
    correct = result.correct
    if problem.answer != result.problem.answer:
        if verifier is None:
            raise TreestarError(
                f"the gold answer of problem {problem.id!r} has changed since its result was written: choose another "
                "file, or continue without a cluster"
            )
        correct = None
        if problem.answer is not None:
            correct = result.answer is not None and await verifier.accepts(problem, result.answer)
    return replace(result, problem=problem, correct=correct)


def append_result(append: Callable[[Any], None], result: SearchResult, settings: dict[str, Any]) -> None:
    """Append a finished result. One interrupted by Ctrl-C is left to the next run.

    Args:
        append: the function that `storage.lines.appending` returns.
    """
    if result.stopped != "interrupted":
        append({**result.to_json(), "settings": settings})
