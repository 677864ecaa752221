"""Atomic writes, a lock on a folder, and clear errors for a full disk."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from treestar.types import TreestarError

__all__ = [
    "LOCK",
    "locked",
    "move_into_place",
    "noticing_full_disk",
    "read_json",
    "read_object",
    "write_json",
    "write_text",
    "writing",
]

LOCK = "lock"
"""The file of a folder's lock."""


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock the folder for this process. The lock ends with the process, however it ends.

    Yields the file descriptor of the lock; a process that inherits it also holds the lock.

    Raises:
        TreestarError: another process holds the lock; the message names it. Or the folder cannot be written, or its
            file system has no locks.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise TreestarError(
                    f"{folder} cannot be locked ({error.strerror or error}): its file system has no locks; choose a "
                    "folder on another one, or have it mounted with locks"
                ) from error
            file.seek(0)
            raise TreestarError(
                f"{folder} is in use by another job, process {file.read().strip() or 'unknown'}: wait until it ends "
                "or choose another folder"
            ) from error
        with writing(folder):
            file.truncate(0)
            file.write(f"{os.getpid()} on {os.uname().nodename}\n")
            file.flush()
        yield file.fileno()


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Converts a failure to write into a one-sentence error.

    Raises:
        TreestarError: instead of an OSError raised inside.
    """
    try:
        with noticing_full_disk(place):
            yield
    except OSError as error:
        raise TreestarError(f"{place} cannot be written: {error.strerror or error}") from error


@contextmanager
def noticing_full_disk(place: Path) -> Iterator[None]:
    """Converts the errors of the system or of a model library on a full disk into a one-sentence error.

    Raises:
        TreestarError: instead of such an error.
    """
    try:
        yield
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT)
        if is_full or os.strerror(ENOSPC) in str(error):  # safetensors and pyarrow raise their own errors
            raise TreestarError(
                f"{place} cannot be written: the disk is full. Finished work is not lost: free some space and "
                "continue (with --resume if the command has it)"
            ) from error
        raise


def write_json(path: Path, data: Any) -> None:
    """Write `data` so that `path` always holds either the old or the new text, also after a crash. Raises OSError."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Like `write_json`, for any text. Half characters, as in names of files that are not UTF-8, are written as
    escapes, which JSON reads back."""
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():  # a device or a pipe
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    move_into_place(partial, path)


def read_json(path: Path) -> Any:
    """The data written by `write_json`. Raises OSError or ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path) -> dict[str, Any] | None:
    """The object written by `write_json`; None if its file is missing or damaged."""
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError):
        return None


def move_into_place(partial: Path, path: Path) -> None:
    """Flush a written file to disk, rename it, and flush the rename."""
    flush(partial)
    os.replace(partial, path)
    flush(path.parent)


def flush(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    with suppress(OSError):  # some file systems cannot sync a folder
        os.fsync(descriptor)
    os.close(descriptor)
