"""Checks that a file or folder to continue was made with the same settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from treestar.storage.files import read_object, write_json, writing
from treestar.storage.tree_files import table_name
from treestar.types import Recommended, TreestarError

__all__ = ["begin_folder", "check_same_settings", "read_settings"]

FORMER_DEFAULTS = asdict(Recommended())
"""What version 0.1 wrote for settings that may be left open since."""
ADDED = ("top_k", "min_p")
"""Those of them that version 0.1 did not have."""
UNSAID = ("judged_by", "step_format")
"""What older files do not say, though it had some value."""


def begin_folder(path: Path, settings: Mapping[str, Any], can_change: Collection[str] = ()) -> None:
    """Write the settings that a folder is made with into its file `path`, or check that it is made with the same.

    Args:
        settings: plain JSON values.
        can_change: those that may differ; the file then has the new ones.

    Raises:
        TreestarError: the folder was made with other settings, its file is damaged, or missing beside data that some
            settings have made, or it cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            before = {name: value for name, value in read_settings(path).items() if name not in can_change}
            wanted = {name: value for name, value in settings.items() if name not in can_change}
            check_same_settings(path.parent, before, wanted)
        elif has_table(path.parent):
            raise TreestarError(
                f"{path} is missing, so nothing says with which settings the data beside it was made: put the file "
                f"back, delete {path.parent}, or give another folder"
            )
        write_json(path, settings)


def has_table(folder: Path) -> bool:
    """Whether `folder` is a table, or has one."""
    return any(table_name(each) is not None for each in (folder, *folder.iterdir()))


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in the file of a folder that is to be continued. Raises TreestarError if it is damaged."""
    found = read_object(path)
    if found is None:
        raise TreestarError(f"{path} is damaged, so {path.parent} cannot be continued: give another folder")
    return found


def check_same_settings(
    place: object, made_with: Mapping[str, Any], wanted: Mapping[str, Any], hint: str = "use the same settings"
) -> None:
    """Raise TreestarError that names the settings in which `made_with` and `wanted` differ, if any.

    Args:
        place: the file or folder.
        made_with, wanted: plain JSON values. A missing setting equals None, and any value if older files do not say it.
            One that is left open now equals the former default that it was made with, but one that was left open then
            is not that default: it was what suits the policy.
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
        if name in UNSAID and name not in first:
            continue
        if name in ADDED and name not in first and other == FORMER_DEFAULTS[name]:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{prefix}{name}.")
        elif one != other:
            yield prefix + name
