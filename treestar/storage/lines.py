"""Append-only files of lines, such as JSON Lines. A line is complete once its line break is on disk. A last line
without one was left by a killed process: readers stop before it, and the next writer removes it. Files that a user has
written (`text_lines`, `read_rows`) need no line break at the end, and can be compressed with gzip; rows can also be
those of a table (CSV).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from treestar.storage.files import writing
from treestar.types import TreestarError

__all__ = [
    "Row",
    "append_line",
    "appending",
    "iter_lines",
    "open_lines",
    "partial_line",
    "read_lines",
    "read_rows",
    "text_lines",
]

T = TypeVar("T")

BLOCK = 65_536
"""Bytes read at a time while looking for the last line break."""
GZIP = b"\x1f\x8b"
"""The first bytes of a file compressed with gzip."""
TABLES = {".csv": ",", ".tsv": "\t"}
"""The endings of the names of tables, and what separates their cells."""


class Row(NamedTuple):
    """One value in a user's file."""

    number: int
    """From 1: that of its line, or its place in an array."""
    where: str
    """The same for an error message: `line 3`, or `item 3`."""
    text: str
    """The value as JSON, if it is that; lines are not checked."""


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
    # Not splitlines(): JSON text can contain characters such as U+2028, which do not end a line of JSON Lines.
    return read_text(path).split("\n")


def read_rows(path: Path) -> list[Row]:
    """The values in a user's file: one in each line of JSON Lines that is not blank, those of one JSON array, or an
    object for each row of a table, whose first row names the columns (.csv, .tsv).

    Raises:
        TreestarError: the file cannot be read, is an array that is not JSON, or a table with an invalid row.
    """
    text = read_text(path)
    separator = TABLES.get(Path(path.name.removesuffix(".gz")).suffix.lower())
    if separator is not None:
        return table_rows(text, separator, path)
    values = array_values(text, path) if text.lstrip().startswith("[") else None
    if values is not None:
        return [Row(number, f"item {number}", json.dumps(value)) for number, value in enumerate(values, start=1)]
    lines = enumerate(text.split("\n"), start=1)
    return [Row(number, f"line {number}", line) for number, line in lines if line.strip()]


def table_rows(text: str, separator: str, path: Path) -> list[Row]:
    """The rows of a table; empty cells are left out. Raises TreestarError if it is none."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for number, cells in enumerate(reader, start=1):
            if None in cells:
                raise csv.Error("more cells than columns: put quotes around texts with commas")
            rows.append(Row(number, f"row {number}", json.dumps({name: cell for name, cell in cells.items() if cell})))
    except csv.Error as error:
        raise TreestarError(f"{path}, line {reader.line_num}, is not a row of a table ({error})") from error
    return rows


def array_values(text: str, path: Path) -> list[Any] | None:
    """The values of the array that `text` is; None for several lines, the first of which is an array. Raises
    TreestarError if it is neither."""
    try:
        values: list[Any] = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return None
        place = f"line {error.lineno}, column {error.colno}"
        raise TreestarError(f"{path} begins as an array, but is not JSON ({error.msg} at {place})") from error
    except (ValueError, RecursionError):  # a number of thousands of digits; nested too deeply
        return None
    return values


def read_text(path: Path) -> str:
    """The text in a user's file, decompressed if need be. It is read once, because it can be a pipe."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIP) else data
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise TreestarError(f"{path} cannot be read: it is not UTF-8 text") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TreestarError(f"{path} cannot be read: it is not a whole gzip file") from error
    except OSError as error:
        raise TreestarError(f"{path} cannot be read: {error.strerror or error}") from error


def partial_line(path: Path) -> bytes:
    """What follows the last line break of a file; `appending` removes it. Raises OSError."""
    with path.open("rb") as file:
        file.seek(end_of_lines(file))
        return file.read()


def cut_partial_line(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(end_of_lines(file))


def end_of_lines(file: IO[bytes]) -> int:
    """Where the last complete line of `file` ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
