"""How a judge is asked, and how that is written behind its name: `MODEL?judge_votes=8&judge_analysis=false`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from treestar.config.checks import check_whole
from treestar.types import TreestarError

__all__ = ["JudgeSettings", "split_judge_name"]

PREFIX = "judge_"

BOOLEANS = {"true": True, "false": False}

READ: Mapping[str, Callable[[str], Any]] = {"votes": int, "analysis": BOOLEANS.__getitem__, "tokens": int}
"""From the text of a setting to its value; raises KeyError or ValueError."""


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """How a judge is asked about a chunk.

    Raises:
        ValueError: a value is not allowed.
    """

    votes: int = 1
    """Verdicts sampled for each chunk; its probability of being right is the share of positive ones. With 1 it is the
    probability of the verdict's token after a greedy analysis, where the backend gives it."""
    analysis: bool | None = None
    """Whether the judge reasons before its verdict. None: as it was trained (by its config.json), else yes."""
    tokens: int | None = None
    """Maximum tokens of a reply. None: 1,024, or 8,192 for a model that thinks; never more than half the context."""

    def __post_init__(self) -> None:
        check_whole(self, "votes", "tokens")


def split_judge_name(name: str) -> tuple[str, JudgeSettings]:
    """The model's name and the settings in `MODEL?judge_votes=8&...`; other arguments stay in the model's name.

    Raises:
        TreestarError: there is no such setting, or its value is not allowed.
    """
    model, mark, query = name.rpartition("?")
    if not mark:
        return name, JudgeSettings()
    arguments = query.split("&")
    own = [each for each in arguments if each.startswith(PREFIX)]
    others = "&".join(each for each in arguments if not each.startswith(PREFIX))
    values: dict[str, Any] = {}
    for argument in own:
        setting, _, value = argument.removeprefix(PREFIX).partition("=")
        try:
            values[setting] = READ[setting](value)
        except (KeyError, ValueError):
            known = ", ".join(f"{PREFIX}{each.name}" for each in fields(JudgeSettings))
            raise TreestarError(
                f"judge {name!r}: {argument!r} is not a setting: write {known} with a number, or true or false"
            ) from None
    try:
        return (f"{model}?{others}" if others else model), JudgeSettings(**values)
    except ValueError as error:
        raise TreestarError(f"judge {name!r}: {error}") from error
