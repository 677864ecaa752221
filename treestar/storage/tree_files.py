"""Finds and reads search trees on disk: JSON files, JSON Lines, and Parquet tables of an evolve job.

    *.json             one tree
    *.jsonl            one tree per line
    *.parquet          one tree per row, as JSON text in the column `tree`
    _journal.jsonl     rows of a table `trees` that are not in one of its shards yet

Reading changes nothing on disk, so a running job can be read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from treestar.storage.files import read_json
from treestar.storage.lines import iter_lines
from treestar.storage.table import JOURNAL, MANIFEST, Row, checksum, shard_rows
from treestar.types import TreestarError

__all__ = ["table_name", "tree_files", "tree_texts", "whole_rows"]

TABLE = "trees"
"""The name of the tables whose rows are trees. A job's other tables contain data made from them."""


def tree_files(path: str | Path) -> list[Path]:
    """The files that can contain trees: `path` itself, or all files below the folder `path`, sorted by path. In an
    evolve job's folder, these are the tables named `trees`, including missing shards.

    Raises:
        TreestarError: there are none.
    """
    path = Path(path)
    found = [path] if path.is_file() else []
    for place, folders, names in os.walk(path):
        folder = Path(place)
        table = table_name(folder)
        if table is not None:
            folders.clear()
            found += table_files(folder) if table == TABLE else []
        elif "phases" in folders:  # a round of a job: its other JSON files are reports and models
            folders[:] = [name for name in folders if table_name(folder / name)]
        else:
            found += [folder / name for name in names if Path(name).suffix in (".json", ".jsonl", ".parquet")]
    if not found:
        raise TreestarError(
            f"no trees in {path}: give a folder of .json files (one tree each), .jsonl files (one per line) or "
            ".parquet files (with a column `tree`), or one such file; `treestar solve --gold --save-tree FOLDER` and "
            "`treestar evolve` write them"
        )
    return sorted(found)


def table_name(folder: Path) -> str | None:
    """The name of the table in a folder, or None if there is none."""
    if (folder / MANIFEST).exists():
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(read_json(folder / MANIFEST)["table"])
    elif not (folder / JOURNAL).exists():
        return None
    return folder.resolve().name


def table_files(folder: Path) -> list[Path]:
    shards = {*folder.glob("[!_]*.parquet"), *(folder / name for name in listed_checksums(folder))}
    return [*shards, *folder.glob(JOURNAL)]


def tree_texts(file: Path) -> Iterator[tuple[str, str | bytes]]:
    """The JSON texts of the trees in a file, one in memory at a time.

    Each comes with its location in the file: `line 3`, `row 3`, or nothing in a .json file. A damaged text is returned
    unchanged: the caller parses it and reports the error.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is a damaged Parquet file, or one without trees.
        TreestarError: it is a Parquet file, and pyarrow is not installed.
    """
    if file.suffix == ".json":
        yield "", file.read_bytes()
    elif file.suffix == ".parquet":
        yield from ((f"row {number}", row["tree"]) for number, row in enumerate(whole_rows(file, ["tree"]), start=1))
    elif file.name == JOURNAL:
        yield from journal_texts(file)
    else:
        with file.open("rb") as lines:
            yield from ((f"line {number}", line) for number, line in enumerate(lines, start=1) if line.strip())


def journal_texts(journal: Path) -> Iterator[tuple[str, str | bytes]]:
    """The rows that are not in a shard; a killed process can leave rows in both."""
    sealed = sealed_keys(journal.parent) if journal.stat().st_size else set()
    for number, line in iter_lines(journal):
        text: str | bytes = line
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if (row["problem_id"], row["seed"]) in sealed:
                continue
            text = row["tree"]
        yield f"line {number}", text


def sealed_keys(folder: Path) -> set[tuple[str, int]]:
    """The keys of the rows in a table's complete shards."""
    keys: set[tuple[str, int]] = set()
    for shard in folder.glob("[!_]*.parquet"):
        with suppress(OSError, ValueError):
            keys |= {(row["problem_id"], row["seed"]) for row in whole_rows(shard, ["problem_id", "seed"])}
    return keys


def whole_rows(shard: Path, columns: list[str]) -> Iterator[Row]:
    """Some columns of a Parquet file that matches its manifest, if any. Raises OSError or ValueError."""
    expected = listed_checksums(shard.parent).get(shard.name)
    if expected is not None and checksum(shard) != expected:
        raise ValueError("damaged: its checksum is not the one in the manifest")
    yield from shard_rows(shard, columns)


def listed_checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every shard in a table's manifest; empty without a readable manifest."""
    try:
        return {name: shard["sha256"] for name, shard in read_json(folder / MANIFEST)["shards"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
