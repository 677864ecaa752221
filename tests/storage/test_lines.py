"""Append-only lines: after any truncated write, whole lines are read and the next one starts on a new line."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.storage.lines import appending, iter_lines, read_lines, read_rows, text_lines
from treestar.types import TreestarError


def numbers(path: Path) -> list[int]:
    return list(read_lines(path, lambda line: line["number"], "a number"))


@settings(max_examples=25)
@given(whole=st.integers(0, 4), partial=st.sampled_from([b"", b"{", b'{"number": 9}', b"\xff", b"x" * 200_000]))
def test_a_partial_line_is_not_read_and_is_cut_off_before_the_next_one(
    whole: int, partial: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "lines.jsonl"
    path.write_bytes(b"".join(b'{"number": %d}\n' % number for number in range(whole)) + partial)
    assert numbers(path) == list(range(whole))
    with appending(path) as append:
        append({"number": whole})
    assert numbers(path) == list(range(whole + 1))


def test_lines_are_numbered_and_one_that_is_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"number": 1}\n{"n": 2}\n')
    assert [number for number, _ in iter_lines(path)] == [1, 2]
    with pytest.raises(TreestarError, match=r"lines\.jsonl, line 2, is not a number: fix the line or move the file"):
        numbers(path)
    with pytest.raises(TreestarError, match=r"missing\.jsonl cannot be read: No such file"):
        numbers(tmp_path / "missing.jsonl")


def test_half_characters_can_be_appended(tmp_path: Path) -> None:
    with appending(tmp_path / "lines.jsonl") as append:
        append({"number": "\ud83d"})
    assert numbers(tmp_path / "lines.jsonl") == ["\ud83d"]


def test_a_line_that_does_not_fit_on_the_disk_leaves_the_whole_lines_before(tmp_path: Path) -> None:
    """A limit on the file size simulates a full disk: a write is cut in the middle, and the next one fails."""
    path = tmp_path / "lines.jsonl"
    program = f"""
import signal
from pathlib import Path
from treestar.storage.lines import appending
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with appending(Path({str(path)!r})) as append:
    for number in range(1000):
        append({{"number": number}})
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert f"TreestarError: {path} cannot be written" in ended.stderr
    assert path.read_bytes().endswith(b"}\n")
    assert numbers(path) == list(range(len(numbers(path))))
    assert len(numbers(path)) > 50


@pytest.mark.parametrize(("place", "why"), [("/dev/full", "the disk is full"), ("/proc/lines", "")])
def test_what_cannot_be_written_is_one_sentence(place: str, why: str) -> None:
    with pytest.raises(TreestarError, match=f"{place} cannot be written: {why}"), appending(Path(place)) as append:
        append(1)


def test_lines_may_go_nowhere() -> None:
    with appending(Path(os.devnull)) as append:
        append(1)


def test_a_users_file_may_begin_with_a_mark_and_end_without_a_line_break(tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": "1\xe2\x80\xa82"}\n \n{}')
    assert read_rows(path) == [(1, "line 1", '{"a": "1\u20282"}'), (3, "line 3", "{}")]
    path.write_bytes(b"caf\xe9")
    with pytest.raises(TreestarError, match="cannot be read: it is not UTF-8 text"):
        text_lines(path)
    with pytest.raises(TreestarError, match="cannot be read: Is a directory"):
        text_lines(tmp_path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"a": 1}\r\n\r\n{"a": [2]}', [(1, "line 1", '{"a": 1}'), (3, "line 3", '{"a": [2]}')]),
        ('\ufeff\n[{"a": 1}, "b"]\n', [(1, "item 1", '{"a": 1}'), (2, "item 2", '"b"')]),
        ('[\n  {\n    "a": "\\ud83d"\n  }\n]', [(1, "item 1", '{"a": "\\ud83d"}')]),
        ("[1, 2]\n[3]\n", [(1, "line 1", "[1, 2]"), (2, "line 2", "[3]")]),
        ("[]", []),
        ("", []),
    ],
)
def test_a_users_file_can_be_lines_or_an_array_and_compressed(
    text: str, rows: list[tuple[int, str, str]], compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "users"
    path.write_bytes(compress(text.encode()))
    assert read_rows(path) == rows


def test_a_broken_array_or_compressed_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text('[\n  {"a": 1},\n  {"a"\n')
    with pytest.raises(TreestarError, match=r"users begins as an array, but is not JSON \(.* at line 4, column 1\)"):
        read_rows(path)
    whole = gzip.compress(b'{"a": 1}\n' * 1000)
    for broken in (whole[:-20], whole[:20] + b"\xff" * 20 + whole[40:], whole[:-8] + b"12345678"):
        path.write_bytes(broken)
        with pytest.raises(TreestarError, match="users cannot be read: it is not a whole gzip file"):
            read_rows(path)


def test_a_users_file_can_be_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen([sys.executable, "-c", f"open({str(path)!r}, 'wb').write(b'[1]')"]):
        assert read_rows(path) == [(1, "item 1", "1")]


def test_a_table_s_rows_are_objects_named_by_its_first_row(tmp_path: Path) -> None:
    text = '\ufeffid,question,answer\r\nx,"One, or\r\ntwo?",2\r\n\r\ny,Three?,\r\n'
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    wanted = [
        (1, "row 1", {"id": "x", "question": "One, or\ntwo?", "answer": "2"}),
        (2, "row 2", {"id": "y", "question": "Three?"}),
    ]
    assert [(row.number, row.where, json.loads(row.text)) for row in read_rows(path)] == wanted
    packed = tmp_path / "table.TSV.gz"
    packed.write_bytes(gzip.compress(b"question\tanswer\nOne, or two?\t2\n"))
    assert [json.loads(row.text) for row in read_rows(packed)] == [{"question": "One, or two?", "answer": "2"}]
    path.write_text("question,answer\nOne, or two?,2\n")
    with pytest.raises(TreestarError, match=r"table\.csv, line 2, is not a row of a table \(more cells than columns"):
        read_rows(path)
