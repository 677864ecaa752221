"""Tables of a job: whatever is appended, killed, damaged or opened again, no row is lost twice or duplicated."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.storage import table as store
from treestar.storage.files import locked
from treestar.storage.table import Row, Schema, Table
from treestar.types import TreestarError

NUMBERS = Schema("numbers", {"id": "int64", "text": "string", "score": "float64"}, key=("id",))


def row(number: int, text: str = "?") -> Row:
    return {"id": number, "text": text, "score": number / 7}


def filled(folder: Path, count: int) -> Path:
    with Table(folder, NUMBERS) as table:
        for number in range(count):
            table.append(row(number))
    return folder


def ids(folder: Path) -> list[int]:
    with Table(folder, NUMBERS) as table:
        return [found["id"] for found in table.rows(["id"])]


def opened(folder: Path) -> tuple[Table, list[str]]:
    said: list[str] = []
    return Table(folder, NUMBERS, said.append), said


@settings(max_examples=30)
@given(steps=st.lists(st.sampled_from(["append", "seal", "reopen"]), max_size=25))
def test_any_sequence_of_appends_seals_and_restarts_keeps_every_row_once(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("table")
    table, appended = Table(folder, NUMBERS), 0
    for step in steps:
        if step == "append":
            table.append(row(appended))
            appended += 1
        elif step == "seal":
            table.seal()
        else:
            table.close()
            table = Table(folder, NUMBERS)
        assert list(table.rows()) == [row(number) for number in range(appended)]
    table.close()


def test_a_full_journal_becomes_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_ROWS", 4)
    filled(tmp_path, 10)
    assert sorted(file.name for file in tmp_path.glob("*.parquet")) == ["00000.parquet", "00001.parquet"]
    assert len((tmp_path / "_journal.jsonl").read_text().splitlines()) == 2
    assert ids(tmp_path) == list(range(10))


def test_a_line_that_was_cut_off_is_its_row_not_yet_written(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3) / "_journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    table, said = opened(tmp_path)
    assert ((1,) in table, (2,) in table, said) == (True, False, [])
    table.append(row(2))
    assert ids(tmp_path) == [0, 1, 2]


def test_a_kill_between_shard_and_manifest_or_journal_doubles_nothing(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    journal = (tmp_path / "_journal.jsonl").read_bytes()
    with Table(tmp_path, NUMBERS) as table:
        table.seal()
    (tmp_path / "_journal.jsonl").write_bytes(journal)  # killed before the journal was emptied
    assert ids(tmp_path) == list(range(5))
    (tmp_path / "_manifest.json").unlink()  # killed before the shard was listed
    assert ids(tmp_path) == list(range(5))
    (tmp_path / "_00001.parquet.partial").write_bytes(b"half a shard")
    assert ids(tmp_path) == list(range(5))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_lost_shard_is_named_and_its_rows_are_missing_only(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SHARD_ROWS", 2)
    shard = filled(tmp_path, 6) / "00001.parquet"
    content = bytearray(shard.read_bytes())
    if damage == "missing":
        shard.unlink()
    else:
        content[100] ^= 255
        shard.write_bytes(content if damage == "flipped" else content[:200])
    table, [said] = opened(tmp_path)
    assert table.damaged
    assert said.startswith(f"{shard} is {'missing' if damage == 'missing' else 'damaged'}")
    assert said.endswith("its 2 rows are made again")
    for number in (2, 3):
        table.append(row(number))
    table.seal()
    assert sorted(ids(tmp_path)) == list(range(6))


def test_a_damaged_manifest_costs_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_ROWS", 2)
    (filled(tmp_path, 5) / "_manifest.json").write_text('{"shards": ')
    table, [said] = opened(tmp_path)
    assert "_manifest.json is damaged" in said
    assert sorted(found["id"] for found in table.rows(["id"])) == list(range(5))
    table.seal()
    assert opened(tmp_path)[1] == []  # repaired


def test_replacing_leaves_only_the_new_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_ROWS", 2)
    with Table(filled(tmp_path, 7), NUMBERS) as table:
        table.replace([row(number) for number in (20, 21, 22)])
    assert ids(tmp_path) == [20, 21, 22]
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    with Table(tmp_path, NUMBERS) as table:
        table.replace([])
    assert ids(tmp_path) == []


def test_text_that_is_no_unicode_can_be_kept(tmp_path: Path) -> None:
    with Table(tmp_path, NUMBERS) as table:
        table.append(row(1, "half a character: \ud83d"))
        table.seal()
        assert [found["text"] for found in table.rows()] == ["half a character: ?"]


def test_a_full_disk_takes_no_row_half(tmp_path: Path) -> None:
    with Table(filled(tmp_path, 2), NUMBERS) as table:
        table.journal = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        with pytest.raises(TreestarError, match="the disk is full"):
            table.append(row(2))
        assert (2,) not in table
    assert ids(tmp_path) == [0, 1]


def test_a_folder_that_cannot_be_written_is_one_sentence() -> None:
    with pytest.raises(TreestarError, match=r"/proc/table cannot be written"):
        Table(Path("/proc/table"), NUMBERS)


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("99999999 on another machine\n")  # left by a process that has ended
    with locked(tmp_path):
        with pytest.raises(TreestarError, match=r"in use by another job, process \d+ on "), locked(tmp_path):
            pass
        assert json.loads((tmp_path / "lock").read_text().split()[0]) > 0
    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_is_not_a_running_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", without_locks)
    with (
        pytest.raises(TreestarError, match=r"cannot be locked \(Function not implemented\): its file system has no"),
        locked(tmp_path),
    ):
        pass
