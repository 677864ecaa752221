"""The data of a job on disk: tables as standard Parquet shards, consistent after a kill at any time.
    FOLDER/00000.parquet, ...   the rows
    FOLDER/_manifest.json       the shards with their checksums
    FOLDER/_journal.jsonl       rows that are not in a shard yet; empty in a finished table

A row is in the journal before `append` returns. A shard is written under another name, flushed to disk, renamed, and
listed; only then are its rows removed from the journal. So a row is never lost. It can be in both, and readers remove
the duplicate by its key.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from treestar.extras import needs_extra
from treestar.storage.files import move_into_place, read_json, write_json, writing
from treestar.storage.lines import append_line, iter_lines, open_lines
from treestar.types import TreestarError

__all__ = [
    "JOURNAL",
    "MANIFEST",
    "Row",
    "Schema",
    "Table",
    "appending_to",
    "check_undamaged",
    "checksum",
    "is_whole",
    "shard_rows",
    "timed_appending",
    "valid_text",
]

Row = dict[str, Any]

MANIFEST, JOURNAL = "_manifest.json", "_journal.jsonl"
"""Readers of Parquet folders skip names that begin with an underscore."""

SHARD_ROWS = 512
SHARD_BYTES = 32 * 2**20
"""The journal becomes a shard when it has this many rows, or this many bytes of JSON."""

READ_ROWS = 16
"""Rows in memory at a time while a shard is read. A tree can be megabytes of JSON."""


@dataclass(frozen=True)
class Schema:
    """The columns and the key of a table."""

    name: str
    columns: Mapping[str, str]
    """Names and Arrow types: string, int64, float64, bool."""
    key: tuple[str, ...]
    """The columns that identify a row."""
    added: Mapping[str, Any] = field(default_factory=dict)
    """Columns that tables of earlier versions lack, and the value that is read there instead."""

    def key_of(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)


class Table:
    """Rows in a folder, which is created if it does not exist. Opening it repairs the state left by a killed process.

    Args:
        say: called with a line for every missing or damaged shard. Its rows are lost; the shard is kept as _*.damaged.

    Raises:
        TreestarError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path, schema: Schema, say: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.schema = schema
        self.damaged = False
        """Whether a shard was missing or damaged when the table was opened."""
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            listed = self.listed_shards(say)
            self.shards = self.whole_shards(listed, say)
            # Lost shards stay listed until their rows are made again, because that can be interrupted, too.
            if self.shards != listed and not self.damaged:
                self.write_manifest()
            self.keys = {self.schema.key_of(row) for row in self.shard_rows(list(schema.key))}
            self.pending = self.journal_rows(say)
            self.journal: IO[bytes] = open_lines(folder / JOURNAL)

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return key in self.keys

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, row: Row) -> None:
        """Append `row`, whose key is new. Raises TreestarError if it cannot be written, e.g. on a full disk."""
        assert set(row) == set(self.schema.columns), set(row) ^ set(self.schema.columns)
        row = {name: valid_text(value) if isinstance(value, str) else value for name, value in row.items()}
        with writing(self.folder):
            append_line(self.journal, row)
        self.keys.add(self.schema.key_of(row))
        self.pending.append(row)
        if len(self.pending) >= SHARD_ROWS or self.journal.tell() >= SHARD_BYTES:
            self.seal()

    def seal(self) -> None:
        """Turn the journal into a shard. Raises TreestarError if it cannot be written."""
        if self.pending or self.damaged:
            with writing(self.folder):
                number = max((int(name.split(".")[0]) for name in self.shards), default=-1) + 1
                name = f"{number:05d}.parquet"
                if self.pending:
                    self.shards[name] = self.write_shard(name, self.pending)
                self.write_manifest()
            self.pending, self.damaged = [], False
        with writing(self.folder):
            self.journal.truncate(0)

    def replace(self, rows: Iterable[Row]) -> None:
        """Replace all rows of the table by `rows`. Raises TreestarError if they cannot be written."""
        rows = list(rows)
        with writing(self.folder):
            old, self.shards, self.pending = set(self.shards), {}, []
            self.write_manifest()
            self.journal.truncate(0)
            for name in old:
                (self.folder / name).unlink()
            for number in range(0, len(rows), SHARD_ROWS):
                name = f"{number // SHARD_ROWS:05d}.parquet"
                self.shards[name] = self.write_shard(name, rows[number : number + SHARD_ROWS])
            self.write_manifest()
        self.keys = {self.schema.key_of(row) for row in rows}

    def rows(self, columns: Iterable[str] | None = None) -> Iterator[Row]:
        """The rows, or some columns of them, in the order they were appended; few in memory at a time."""
        wanted = list(self.schema.columns) if columns is None else list(columns)
        yield from self.shard_rows(wanted)
        for row in self.pending:
            yield {name: row[name] for name in wanted}

    def close(self) -> None:
        """Close the journal's file."""
        self.journal.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shard_rows(self, columns: list[str]) -> Iterator[Row]:
        for name in sorted(self.shards):
            yield from shard_rows(self.folder / name, columns, self.schema.added)

    def write_shard(self, name: str, rows: list[Row]) -> Mapping[str, Any]:
        """Write a shard, and return its manifest entry."""
        import pyarrow
        from pyarrow.parquet import write_table

        types = pyarrow.schema([(column, pyarrow.type_for_alias(kind)) for column, kind in self.schema.columns.items()])
        partial = self.folder / f"_{name}.partial"
        write_table(pyarrow.Table.from_pylist(rows, schema=types), partial, compression="zstd")
        found = {"rows": len(rows), "sha256": checksum(partial)}
        move_into_place(partial, self.folder / name)
        return found

    def write_manifest(self) -> None:
        write_json(self.folder / MANIFEST, {"table": self.schema.name, "shards": self.shards})

    def whole_shards(
        self, listed: Mapping[str, Mapping[str, Any]], say: Callable[[str], None]
    ) -> dict[str, Mapping[str, Any]]:
        """The intact shards in the manifest, and those that a killed process did not list yet. An unfinished shard is
        removed: its rows are in the journal."""
        for partial in self.folder.glob("_*.partial"):
            partial.unlink()
        whole = {}
        for name, shard in listed.items():
            file = self.folder / name
            if file.exists() and checksum(file) == shard["sha256"]:
                whole[name] = shard
                continue
            self.damaged = True
            said = "missing"
            if file.exists():
                said = f"damaged, and kept as _{name}.damaged"
                os.replace(file, self.folder / f"_{name}.damaged")
            say(f"{file} is {said}: its {shard['rows']:,} rows are made again")
        for file in sorted(self.folder.glob("*.parquet")):
            found = self.readable(file) if file.name not in whole else None
            if found is not None:
                whole[file.name] = found
        return whole

    def listed_shards(self, say: Callable[[str], None]) -> dict[str, Mapping[str, Any]]:
        """The shards in the manifest; none if it is lost."""
        path = self.folder / MANIFEST
        try:
            return dict(read_json(path)["shards"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            self.damaged = True
            say(f"{path} is damaged: using all readable shards in its folder")
            return {}

    def readable(self, file: Path) -> Mapping[str, Any] | None:
        """The manifest entry of a shard, or None if the shard cannot be read."""
        import pyarrow
        from pyarrow.parquet import read_table

        try:
            table = read_table(file, partitioning=None)
        except (OSError, pyarrow.ArrowException):
            return None
        if table.column_names != list(self.schema.columns):
            return None
        return {"rows": table.num_rows, "sha256": checksum(file)}

    def journal_rows(self, say: Callable[[str], None]) -> list[Row]:
        """The journal's rows that are not in a shard."""
        path = self.folder / JOURNAL
        if not path.exists():
            return []
        rows = []
        for number, line in iter_lines(path):
            try:
                row = {**self.schema.added, **json.loads(line)}
                key = self.schema.key_of({name: row[name] for name in self.schema.columns})
            except (ValueError, KeyError, TypeError):
                self.damaged = True
                say(f"{path}, line {number}, is damaged: its row is made again")
                continue
            if key not in self.keys:
                self.keys.add(key)
                rows.append(row)
        return rows


def is_whole(folder: Path) -> bool:
    """Whether `folder` is a table with every shard in its manifest, undamaged. Nothing on disk is changed."""
    try:
        shards = dict(read_json(folder / MANIFEST)["shards"])
        return all(checksum(folder / name) == shard["sha256"] for name, shard in shards.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_undamaged(folder: Path) -> None:
    """Raise TreestarError if a table in `folder` has lost rows. Nothing on disk is changed."""
    if (folder / MANIFEST).exists() and not is_whole(folder):
        raise TreestarError(
            f"{folder} has lost rows, because one of its files is missing or damaged: run the command that wrote it "
            "again to get them back"
        )


def shard_rows(shard: Path, columns: list[str], added: Mapping[str, Any] = {}) -> Iterator[Row]:
    """Some columns of the rows of a Parquet file, few rows in memory at a time.

    Args:
        added: as `Schema.added`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a complete Parquet file, or lacks a column.
        TreestarError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise needs_extra("a Parquet file", "train") from error

    try:
        with ParquetFile(shard) as file:
            absent = {name: added.get(name) for name in columns if name not in file.schema_arrow.names}
            missing = [name for name in absent if name not in added]
            if missing:
                raise ValueError(f"it has no column {missing[0]!r}")
            for batch in file.iter_batches(READ_ROWS, columns=[name for name in columns if name not in absent]):
                for row in batch.to_pylist():
                    yield {**absent, **row}
    except pyarrow.ArrowException as error:
        raise ValueError(f"damaged: {error}") from error


def appending_to(table: Table, on_row: Callable[[Row], None] = lambda _: None) -> Callable[[object, Row], None]:
    """A function that appends worker results to `table`."""

    def append(_: object, row: Row) -> None:
        table.append(row)
        on_row(row)

    return append


def timed_appending(table: Table, on_row: Callable[[Row], None]) -> Callable[[object, Row], None]:
    """As `appending_to`, each row with `wall_seconds`: the time since the previous one."""
    append, stored = appending_to(table, on_row), time.perf_counter()

    def timed(task: object, row: Row) -> None:
        nonlocal stored
        now = time.perf_counter()
        row["wall_seconds"] = now - stored
        stored = now
        append(task, row)

    return timed


def valid_text(text: str) -> str:
    """`text` without the partial characters that a policy's tokens can leave; Parquet cannot store them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def checksum(path: Path) -> str:
    found = sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            found.update(part)
    return found.hexdigest()
