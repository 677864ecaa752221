"""Old names of settings. They are accepted until version 0.3, with a warning that names the new one.

Files that treestar wrote with old names (trees, results, settings of runs and jobs) are read without a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["RENAMED", "AcceptsOldNames", "current_names", "renaming", "silently", "warn_of_renaming"]

ValueT = TypeVar("ValueT")

RENAMED = {
    "rollouts": "max_rollouts",
    "generated_tokens": "max_generated_tokens",
    "executed_seconds": "max_executed_seconds",
    "wall_seconds": "max_wall_seconds",
}
"""The new name of each setting by its old name."""

LAST_VERSION = "0.3"
"""The first version that accepts only the new names."""


def renaming(old: str, new: str) -> str:
    """The warning for an old name."""
    return f"`{old}` is now `{new}`; the old name is accepted until {LAST_VERSION}"


def warn_of_renaming(old: str, new: str) -> None:
    """Issue a Python warning about an old name."""
    warnings.warn(renaming(old, new), FutureWarning, stacklevel=4)


def silently(old: str, new: str) -> None:
    """Do nothing: treestar itself wrote the old name."""


def current_names(values: Mapping[str, ValueT], tell: Callable[[str, str], None] = silently) -> dict[str, ValueT]:
    """`values` under the current names of the settings.

    If both names of a setting are given, the old one wins, because `dataclasses.replace` adds the new one.

    Args:
        tell: called with the old and the new name of each setting given by its old name.
    """
    old = {name: RENAMED[name] for name in values if name in RENAMED}
    for name, new in old.items():
        tell(name, new)
    replaced = set(old.values())
    return {old.get(name, name): value for name, value in values.items() if name not in replaced}


class RenamesArguments(type):
    """The metaclass of AcceptsOldNames. It translates the arguments of the constructor."""

    def __call__(cls, *arguments: Any, **fields: Any) -> Any:
        if not RENAMED.keys().isdisjoint(fields):
            fields = current_names(fields, warn_of_renaming)
        return super().__call__(*arguments, **fields)


class AcceptsOldNames(metaclass=RenamesArguments):
    """A configuration whose fields can also be given and read under their old names, with a FutureWarning."""

    if not TYPE_CHECKING:  # type checkers see only the current names

        def __getattr__(self, name: str) -> Any:
            if name in RENAMED:
                warn_of_renaming(name, RENAMED[name])
                return getattr(self, RENAMED[name])
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
