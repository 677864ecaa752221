"""Files that are whole or not there: atomic writes, and a lock on a folder. A full disk is said in one sentence."""

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

__all__ = ["locked", "move_into_place", "noticing_full_disk", "read_json", "write_json", "write_text", "writing"]

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the folder for this process. The lock ends with the process, however it ends.

    Gives the descriptor that holds it; a process that inherits this holds the folder too.

    Raises:
        TreestarError: another process holds it; the message says which.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise TreestarError(
                f"{folder} is in use by another job, process {file.read().strip() or 'unknown'}: wait for its end, or "
                "give another folder"
            ) from error
        with writing(folder):
            file.truncate(0)
            file.write(f"{os.getpid()} on {os.uname().nodename}\n")
            file.flush()
        yield file.fileno()


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns a failure to write into one sentence.

    Raises:
        TreestarError: in place of an OSError raised inside.
    """
    try:
        with noticing_full_disk(place):
            yield
    except OSError as error:
        raise TreestarError(f"{place} cannot be written: {error.strerror or error}") from error


@contextmanager
def noticing_full_disk(place: Path) -> Iterator[None]:
    """Turns what the system, or a library that writes models, raises on a full disk into one sentence.

    Raises:
        TreestarError: in its place.
    """
    try:
        yield
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT)
        if is_full or os.strerror(ENOSPC) in str(error):  # safetensors and pyarrow have errors of their own
            raise TreestarError(
                f"{place} cannot be written: the disk is full. Nothing that was finished is lost: free some space and "
                "continue (with --resume where the command has it)"
            ) from error
        raise


def write_json(path: Path, data: Any) -> None:
    """Write `data` so that `path` always holds either the old or the new text, also after a crash. Raises OSError."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """As `write_json`, any text."""
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():  # a device or a pipe
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    move_into_place(partial, path)


def read_json(path: Path) -> Any:
    """What `write_json` wrote. Raises OSError or ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))


def move_into_place(partial: Path, path: Path) -> None:
    """Rename a written file once it is on the disk, and put the rename there as well."""
    for place in (partial, path.parent):
        if place == path.parent:
            os.replace(partial, path)
        descriptor = os.open(place, os.O_RDONLY)
        with suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
        os.close(descriptor)
