"""`treestar bench` as users see it: real processes, the toy model, kills, and wrong usage."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from treestar.cli import main

COMMAND = str(Path(sys.executable).parent / "treestar")
MATRIX = (
    "--samples",
    "2",
    "--k",
    "1,2",
    "--max-rollouts",
    "2",
    "--children",
    "2",
    "--concurrency",
    "3",
    "--limit",
    "3",
)


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [COMMAND, "bench", "rg:basic_arithmetic:mid", "--out", str(out), *MATRIX, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    return said


def kill_after(process: subprocess.Popen[str], samples: Path, lines: int) -> None:
    """Kill the process once `samples` has this many lines."""
    deadline = time.monotonic() + 240
    while not samples.exists() or samples.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_at_several_moments_and_resumed_gives_the_same_results(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    samples = tmp_path / "cut" / "samples.jsonl"
    for lines in (2, 6):
        process = start(tmp_path / "cut", *(["--resume"] if samples.exists() else []))
        kill_after(process, samples, lines)
        assert not (tmp_path / "cut" / "results.json").exists()
    said = finish(start(tmp_path / "cut", "--resume"))
    assert re.search(r"9 problems in 3 cells, [123] of them unfinished", said)
    assert "greedy: " in said
    finish(whole)
    one, other = [(tmp_path / name / "results.json").read_bytes() for name in ("whole", "cut")]
    assert one == other
    results = json.loads(one)
    assert results["config"]["model"] == "toy"
    assert results["config"]["model_args"]["dtype"] == "float32"
    for name in ("whole", "cut"):
        assert len((tmp_path / name / "samples.jsonl").read_text().splitlines()) == 9
        assert (tmp_path / name / "report.md").read_text().startswith("# Benchmark of toy")
        assert list((tmp_path / name / "plots").glob("*.png"))
    [session] = json.loads((tmp_path / "whole" / "provenance.json").read_text())
    assert session["problems"] == 9
    same = subprocess.run(
        [COMMAND, "bench", "compare", str(tmp_path / "whole"), str(tmp_path / "cut"), "--json"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    compared = json.loads(same.stdout)
    assert len(compared) == 4
    assert all(each["difference"] == 0.0 for each in compared)


@pytest.mark.slow
def test_a_ppm_is_measured_and_another_is_not_mixed_in(tmp_path: Path) -> None:
    from treestar.ppm import ppm_from_policy

    for name in ("ppm", "other"):
        ppm_from_policy("toy").save(tmp_path / name)
    strategies = ("--strategy", "mcts,best_of_n,weighted_vote,beam", "--budget-tokens", "150", "--limit", "1")
    said = finish(start(tmp_path / "run", *strategies, "--ppm", str(tmp_path / "ppm")))
    assert "sampling/t=1, weighted_vote: " in said
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    assert settings["model"]["ppm"] == str(tmp_path / "ppm")
    results = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert results["rg:basic_arithmetic:mid/beam/t=1/tokens=150"]["scored_tokens,none"] > 0
    refused = start(tmp_path / "run", *strategies, "--ppm", str(tmp_path / "other"), "--resume")
    assert "model.ppm" in refused.communicate(timeout=240)[0]
    assert refused.returncode == 1


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["treestar", "bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), re.sub(r"\s+", " ", out + err)

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([], 2, "Missing argument"),
        (["gsm8k"], 2, "Missing option '--out'"),
        (["gsm8k", "--out", "x", "--k", "1,two"], 2, "--k takes comma-separated numbers"),
        (["gsm8k", "--out", "x", "--k", "1,99"], 2, "k = 99 needs at least as many samples"),
        (["gsm8k", "--out", "x", "--strategy", "beams"], 2, "unknown strategy 'beams'"),
        (
            ["gsm8k", "--out", "x", "--strategy", "greedy", "--max-rollouts", "2"],
            2,
            "rollouts is not a setting of greedy",
        ),
        (
            ["gsm8k", "--out", "x", "--strategy", "mcts,weighted_vote"],
            2,
            "weighted_vote needs a process preference model",
        ),
        (["gsm8k", "--out", "x", "--exploration", "nan"], 2, "must be a finite number"),
        (["gsm8k", "--out", "x", "--gold"], 2, "No such option"),
        (["gsm9k", "--out", "x"], 1, "unknown data set 'gsm9k'"),
        (["gsm8k", "--out", "x", "--data-dir", "nowhere"], 1, "No such file"),
        (["compare", "nothing", "nowhere"], 1, "nothing is not a benchmark run"),
    ],
)
def test_wrong_usage_is_one_clear_sentence(
    said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, text = said(*arguments)
    assert ended == code
    assert sentence in text
    assert not (tmp_path / "x").exists()


def test_help_is_that_of_the_run_and_names_compare(said) -> None:
    code, text = said("--help")
    assert code == 0
    for name in ("--budget-tokens", "--data-dir", "--resume", "--max-rollouts", "treestar bench compare A B"):
        assert name in text
    assert "--max-generated-tokens" not in text
    assert "MCNEMAR" in said("compare", "--help")[1].upper()
