"""The results file of `solve_many(out=...)`: one JSON object a line, appended as each problem is finished.

A run that was cut off is continued by running it again: what the file holds is not solved again. Every line carries the
settings that made it, and a file made with other settings is refused rather than mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from treestar.config.renamed import current_names
from treestar.search import SearchConfig, SearchResult
from treestar.storage.lines import read_lines
from treestar.storage.settings import check_same_settings
from treestar.types import Problem

__all__ = ["ResultKey", "append_result", "iter_results", "result_key", "settings_of"]

ResultKey = tuple[str, str]
"""A problem's id and question."""


def result_key(problem: Problem) -> ResultKey:
    """What tells a file's results apart."""
    return problem.id, problem.question


def settings_of(policy: str, ppm: str | None, search: SearchConfig, seed: int) -> dict[str, Any]:
    """What results hang on besides their problems; `policy` and `ppm` are the models' names."""
    return {"policy": policy, "ppm": ppm, "search": type(search).__name__, "seed": seed, **search.to_json()}


def iter_results(path: Path, settings: dict[str, Any]) -> Iterator[SearchResult]:
    """The finished results in `path`, one in memory at a time; none if there is no such file.

    Raises:
        TreestarError: the file cannot be read, a line is not a result, or it was made with other settings.
    """

    def parse(line: dict[str, Any]) -> SearchResult:
        made_with = current_names(line.pop("settings"))
        result = SearchResult.from_json(line)
        check_same_settings(path, made_with, settings)
        return result

    if path.exists():
        yield from read_lines(path, parse, "a treestar result")


def append_result(append: Callable[[Any], None], result: SearchResult, settings: dict[str, Any]) -> None:
    """Append a finished result; one that Ctrl-C cut short is left to the next run.

    Args:
        append: what `storage.lines.appending` gives.
    """
    if result.stopped != "interrupted":
        append({**result.to_json(), "settings": settings})
