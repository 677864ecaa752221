"""The results file of `solve_many(out=...)`: one JSON object a line, appended as each problem is finished.

A run that was cut off is continued by running it again: what the file holds is not solved again. Every line carries the
settings that made it, and a file made with other settings is refused rather than mixed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TextIO

from treestar.search import SearchResult
from treestar.types import Problem, TreestarError

__all__ = ["ResultKey", "append_result", "read_results", "result_key"]

ResultKey = tuple[str, str]
"""A problem's id and question."""


def result_key(problem: Problem) -> ResultKey:
    """What tells a file's results apart."""
    return problem.id, problem.question


def read_results(path: Path, settings: dict[str, Any]) -> dict[ResultKey, SearchResult]:
    """The finished results in `path`, {} where there is no such file.

    A last line without its line break (the run was killed while it wrote) is cut off.

    Raises:
        TreestarError: the file cannot be read, a line is no result, or it was made with other settings.
    """
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        whole, line_break, partial = text.rpartition("\n")
        if partial:
            os.truncate(path, len((whole + line_break).encode("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise TreestarError(f"results file {path} cannot be read: {error}") from error
    results: dict[ResultKey, SearchResult] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            data = json.loads(line)
            made_with = data.pop("settings")
            result = SearchResult.from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TreestarError(
                f"results file {path}, line {number}, is not a treestar result: mend or move the file"
            ) from error
        if made_with != settings:
            changed = [name for name in settings if made_with.get(name) != settings[name]]
            raise TreestarError(
                f"results file {path} was made with other settings ({', '.join(changed)}): "
                "give another path, or the same settings to go on with it"
            )
        results[result_key(result.problem)] = result
    return results


def append_result(file: TextIO, result: SearchResult, settings: dict[str, Any]) -> None:
    """Append a finished result; one that Ctrl-C cut short is left to the next run."""
    if result.stopped == "interrupted":
        return
    file.write(json.dumps({**result.to_json(), "settings": settings}) + "\n")
    file.flush()
