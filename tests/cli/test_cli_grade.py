"""`treestar grade`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from treestar.cli.grade import grade

app = typer.Typer()
app.command()(grade)
runner = CliRunner()


@pytest.mark.parametrize(("gold", "prediction", "verdict"), [("\\frac12", "0.5", "equal"), ("1", "2", "different")])
def test_a_pair_is_answered_in_one_line_and_done_whatever_the_verdict(gold: str, prediction: str, verdict: str) -> None:
    result = runner.invoke(app, [gold, prediction])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{verdict} (")
    assert result.stdout.count("\n") == 1


def test_a_file_is_graded_line_by_line_and_broken_lines_are_named(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(
        '{"id": 7, "gold": "1/2", "pred": "0.5", "equal": true}\n'
        "not json\n"
        "\n"
        '{"gold": "x+1", "pred": "1+x", "equal": false}\n'
        '{"gold": 5, "pred": "5"}\n',
        encoding="utf-8",
    )
    result = runner.invoke(app, ["--file", str(cases), "--json"])
    assert result.exit_code == 1
    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(verdict["id"], verdict["equal"]) for verdict in verdicts] == [(7, True), (4, True)]
    assert all(set(verdict) == {"id", "equal", "seconds"} for verdict in verdicts)
    assert "line 2: not JSON" in result.stderr
    assert "line 5: needs" in result.stderr
    assert "1 of 2 verdicts as labeled" in result.stderr


def test_a_file_without_flaws_is_done(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"id": "a", "gold": "1", "pred": "2"}\n', encoding="utf-8")
    result = runner.invoke(app, ["--file", str(cases)])
    assert result.exit_code == 0
    assert result.stdout.startswith("a: different (")
    assert result.stderr == ""


def test_a_file_without_a_pair_fails_and_says_so(tmp_path: Path) -> None:
    cases = tmp_path / "empty.jsonl"
    cases.write_text("\n", encoding="utf-8")
    result = runner.invoke(app, ["--file", str(cases)])
    assert (result.exit_code, result.stderr) == (1, "0 pairs graded, 0 lines could not be read\n")


def test_a_missing_file_fails_and_says_which(tmp_path: Path) -> None:
    result = runner.invoke(app, ["--file", str(tmp_path / "absent.jsonl")])
    assert result.exit_code == 1
    assert "absent.jsonl" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["1"], ["1", "2", "--file", "x"]])
def test_misuse_is_told_apart_from_failure(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2
