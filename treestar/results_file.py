"""The results file of `solve_many(out=...)`: one JSON object a line, appended as each problem is finished.

A run that was cut off is continued by running it again: what the file holds is not solved again. Every line carries the
settings that made it, and a file made with other settings is refused rather than mixed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from treestar.config.renamed import current_names
from treestar.search import SearchConfig, SearchResult
from treestar.types import Problem, TreestarError

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
    """The finished results in `path`, one in memory at a time; none where there is no such file.

    A last line without its line break (the run was killed while it wrote) is cut off.

    Raises:
        TreestarError: the file cannot be read, a line is no result, or it was made with other settings.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            end = 0
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    os.truncate(path, end)
                    return
                end += len(line)
                yield read_result(line, f"results file {path}", number, settings)
    except OSError as error:
        raise TreestarError(f"results file {path} cannot be read: {error}") from error


def read_result(line: bytes, file: str, number: int, settings: dict[str, Any]) -> SearchResult:
    try:
        data = json.loads(line)
        made_with = current_names(data.pop("settings"))
        result = SearchResult.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TreestarError(f"{file}, line {number}, is not a treestar result: mend or move the file") from error
    # A setting that did not exist yet has the value None in it.
    changed = [name for name in settings | made_with if made_with.get(name) != settings.get(name)]
    if changed:
        raise TreestarError(
            f"{file} was made with other settings ({', '.join(changed)}): give another path, or the same settings to "
            "go on with it"
        )
    return result


def append_result(file: TextIO, result: SearchResult, settings: dict[str, Any]) -> None:
    """Append a finished result; one that Ctrl-C cut short is left to the next run."""
    if result.stopped == "interrupted":
        return
    file.write(json.dumps({**result.to_json(), "settings": settings}) + "\n")
    file.flush()
