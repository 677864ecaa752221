"""The finished turns of `solve_many(out=..., total=...)`, in the file OUT.rollouts beside the results.

Results are known only when the whole budget is spent, so this file is what an interrupted run continues from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from treestar.allocation.search_set import KeptTurn, TurnKey
from treestar.search import Budget
from treestar.storage.lines import appending, read_lines
from treestar.storage.settings import check_same_settings
from treestar.types import Problem, TreestarError

__all__ = ["keeping_turns", "set_settings"]


@contextmanager
def keeping_turns(
    out: Path | None, settings: Mapping[str, Any]
) -> Iterator[tuple[dict[TurnKey, KeptTurn], Callable[[TurnKey, KeptTurn], None]]]:
    """The turns of an earlier run, and a function that keeps a further one.

    Args:
        out: the file of results; None keeps nothing.
        settings: those that turns depend on.

    Raises:
        TreestarError: the file cannot be read or written, or was made with other settings.
    """
    if out is None:
        yield {}, lambda _key, _turn: None
        return
    path = out.with_name(out.name + ".rollouts")

    def parse(line: dict[str, Any]) -> tuple[TurnKey, KeptTurn]:
        check_same_settings(path, line.pop("settings"), settings)
        return (line.pop("problem"), line.pop("number")), line

    kept = dict(read_lines(path, parse, "a rollout of treestar")) if path.exists() else {}
    with appending(path) as append:
        yield kept, lambda key, turn: append({"problem": key[0], "number": key[1], **turn, "settings": settings})


def set_settings(total: Budget | None, difficulty: Path | None, problems: Sequence[Problem]) -> dict[str, Any]:
    """The settings that the results of a set depend on, besides those of each search; none without a total.

    Raises:
        ValueError: there is a difficulty model and no total that it could help to spend.
        TreestarError: the difficulty model cannot be read.
    """
    if total is None:
        if difficulty is not None:
            raise ValueError("a difficulty model helps to spend one budget for all problems: also give `total`")
        return {}
    asked = hashlib.sha256("\0".join(f"{each.id}\0{each.question}" for each in problems).encode()).hexdigest()[:16]
    try:
        model = None if difficulty is None else hashlib.sha256(difficulty.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise TreestarError(f"the difficulty model {difficulty} cannot be read: {error.strerror or error}") from error
    return {"total": {**asdict(total), "problems": asked, "difficulty": model}}
