"""Checks that a file or folder to continue was made with the same settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from treestar.types import TreestarError

__all__ = ["check_same_settings"]


def check_same_settings(
    place: object, made_with: Mapping[str, Any], wanted: Mapping[str, Any], hint: str = "use the same settings"
) -> None:
    """Raise TreestarError that names the settings in which `made_with` and `wanted` differ, if any.

    Args:
        place: the file or folder.
        made_with, wanted: plain JSON values. A missing setting equals None.
        hint: how to continue it.
    """
    names = list(differences(made_with, wanted))
    if names:
        raise TreestarError(
            f"{place} was made with other settings ({', '.join(names)}): {hint} to continue it, or choose another path"
        )


def differences(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of the values that differ, with dots for nested ones: `search.children`."""
    for name in dict.fromkeys([*second, *first]):
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{prefix}{name}.")
        elif one != other:
            yield prefix + name
