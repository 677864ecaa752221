"""Checks that a file or folder to continue was made with the same settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from treestar.types import Recommended, TreestarError

__all__ = ["check_same_settings"]

FORMER_DEFAULTS = asdict(Recommended())
"""What version 0.1 wrote for settings that may be left open since."""
ADDED = ("top_k", "min_p")
"""Those of them that version 0.1 did not have."""


def check_same_settings(
    place: object, made_with: Mapping[str, Any], wanted: Mapping[str, Any], hint: str = "use the same settings"
) -> None:
    """Raise TreestarError that names the settings in which `made_with` and `wanted` differ, if any.

    Args:
        place: the file or folder.
        made_with, wanted: plain JSON values. A missing setting equals None. One that is left open now equals the
            former default that it was made with, but one that was left open then is not that default: it was what
            suits the policy.
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
        if other is None and one == FORMER_DEFAULTS.get(name):
            continue
        if name in ADDED and name not in first and other == FORMER_DEFAULTS[name]:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{prefix}{name}.")
        elif one != other:
            yield prefix + name
