"""`treestar exec`: the results of a file's steps, for people and for programs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    file = tmp_path / "steps.txt"
    file.write_text("x = 3\n<end_of_step>\nprint(x)\n  <end_of_step>  \n\nx / 0\n<end_of_step>\nprint('never')\n")
    return file


def test_steps_run_in_turn_up_to_the_first_that_fails(treestar, steps: Path) -> None:
    ran = treestar("exec", str(steps))
    assert ran.code == 1
    assert "ZeroDivisionError: division by zero (line 1: `x / 0`)" in ran.out
    assert "never" not in ran.out


def test_a_line_that_is_too_long_for_the_terminal_is_shown_whole(
    treestar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    steps = tmp_path / "steps.txt"
    steps.write_text(f"total = {' + '.join(str(number) for number in range(100, 120))}\n")
    assert steps.read_text().strip() in " ".join(treestar("exec", str(steps)).out.split())


def test_a_byte_order_mark_is_no_part_of_the_first_step(treestar, steps: Path) -> None:
    steps.write_bytes(b"\xef\xbb\xbf" + steps.read_bytes())
    results = list(map(json.loads, treestar("exec", str(steps), "--json").out.splitlines()))
    assert results[0]["error"] is None


def test_json_has_one_object_a_step(treestar, steps: Path) -> None:
    results = list(map(json.loads, treestar("exec", str(steps), "--json").out.splitlines()))
    assert [(result["step"], result["output"]) for result in results] == [(1, ""), (2, "3\n"), (3, "")]
    assert [result["error"] is None for result in results] == [True, True, False]
    assert all(result["seconds"] > 0 and result["peak_memory"] > 0 for result in results)
    assert set(results[0]) == {"step", "code", "output", "error", "seconds", "peak_memory"}


def test_each_wall_can_be_tried_alone(treestar, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    secret = tmp_path / "secret"
    secret.write_text("4711")
    secret.chmod(0o644)
    reads = tmp_path / "reads.txt"
    reads.write_text(f"print(open({str(secret)!r}).read())")
    for options, error in (
        ((), "NotAllowed: 'open' may not be used"),
        (("--no-restricted",), "PermissionError"),
        (("--isolation", "process"), "NotAllowed: 'open' may not be used"),
    ):
        ran = treestar("exec", str(reads), *options)
        assert ran.code == 1
        assert error in ran.out
        assert "4711" not in ran.out
        # pytest records warnings; this is how the command displays them.
        shown = [warnings.formatwarning(each.message, each.category, each.filename, each.lineno) for each in recwarn]
        assert any(each.startswith("warning: isolation='process'") for each in shown) == ("process" in options)


def test_wrong_input_is_said_in_a_sentence(treestar, steps: Path, tmp_path: Path) -> None:
    neither = treestar("exec", str(steps), "--isolation", "process", "--no-restricted")
    assert (neither.code, "would leave nothing between" in neither.err) == (2, True)
    missing = treestar("exec", str(tmp_path / "none.txt"))
    assert (missing.code, "none.txt cannot be read: No such file or directory" in missing.err) == (1, True)
    empty = tmp_path / "empty.txt"
    empty.write_text("<end_of_step>\n")
    assert (treestar("exec", str(empty)).code, treestar("exec", str(empty)).said.strip()) == (
        1,
        f"error: {empty} has no step",
    )
    assert "--seconds must be a finite number above 0" in treestar("exec", str(steps), "--seconds", "-1").err
