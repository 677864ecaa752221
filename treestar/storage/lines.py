"""Append-only files of lines, such as JSON Lines. A line is complete once its line break is on disk. A last line
without one was left by a killed process: readers stop before it, and the next writer removes it. Files that a user has
written (`text_lines`, `numbered_lines`) need no line break at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from treestar.storage.files import writing
from treestar.types import TreestarError

__all__ = ["append_line", "appending", "iter_lines", "numbered_lines", "open_lines", "read_lines", "text_lines"]

T = TypeVar("T")

BLOCK = 65_536
"""Bytes read at a time while looking for the last line break."""


@contextmanager
def appending(path: Path) -> Iterator[Callable[[Any], None]]:
    """A function that appends a value to `path` as one line of JSON, immediately and atomically.

    Raises:
        TreestarError: the file cannot be opened or written, for example on a full disk. It then ends with the last
            complete line.
    """
    with writing(path):
        file = open_lines(path)
    with file:

        def append(value: Any) -> None:
            with writing(path):
                append_line(file, value)

        yield append


def open_lines(path: Path) -> IO[bytes]:
    """Open `path` for `append_line`, and remove an incomplete last line. Raises OSError."""
    file = path.open("ab", buffering=0)
    if path.is_file():  # not /dev/null
        cut_partial_line(path)
    return file


def append_line(file: IO[bytes], value: Any) -> None:
    """Append `value` as JSON and a line break, or nothing. Raises OSError."""
    before, left = file.seek(0, os.SEEK_END), json.dumps(value).encode() + b"\n"
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise


def iter_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The complete lines of a file, numbered from 1, one in memory at a time. Raises OSError."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line


def read_lines(path: Path, parse: Callable[[Any], T], kind: str) -> Iterator[T]:
    """The JSON value of each complete line, converted by `parse`; one in memory at a time.

    Args:
        parse: raises ValueError, KeyError, TypeError or AttributeError if the value is invalid.
        kind: the kind of value in a line, for the error message: `a treestar result`.

    Raises:
        TreestarError: the file cannot be read, or a line is not of that kind.
    """
    try:
        for number, line in iter_lines(path):
            try:
                value = parse(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TreestarError(f"{path}, line {number}, is not {kind}: fix the line or move the file") from error
            yield value
    except OSError as error:
        raise TreestarError(f"{path} cannot be read: {error.strerror or error}") from error


def text_lines(path: Path) -> list[str]:
    """The lines of a user's text file, without a byte order mark. Raises TreestarError if it cannot be read."""
    try:
        # Not splitlines(): JSON text can contain characters such as U+2028, which do not end a line of JSON Lines.
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TreestarError(f"{path} cannot be read: {reason}") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a user's file that are not blank, with their numbers. Raises TreestarError as `text_lines` does."""
    return [(number, line) for number, line in enumerate(text_lines(path), start=1) if line.strip()]


def cut_partial_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)
