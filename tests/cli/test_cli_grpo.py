"""`treestar train grpo` as users see it: real processes, killed and resumed, and in two processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("reasoning_gym")

from tests.support.killed import kill_after_a_checkpoint

JOB = """
policy: toy-bootstrap
problems:
  gym: [{{family: chain_sum, level: easy, problems: 8}}]
training:
  {{steps: {steps}, problems_per_step: 2, group_size: 4, max_tokens: 60, temperature: 1.5, save_steps: 1, warmup: 0.0,
    choose_by: pass_rate, dynamic_sampling: 1, learning_rate: 1.0e-4, rewards: {{correct: 1.0, brevity: 0.1}}}}
evaluation: {{cells: [{{family: chain_sum, level: easy}}], problems: 4, every: 2}}
"""


def job_file(folder: Path, steps: int = 1) -> Path:
    path = folder / "grpo.yaml"
    path.write_text(JOB.format(steps=steps))
    return path


@pytest.mark.slow
def test_a_job_is_run_from_its_file(treestar, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, said = treestar("train", "grpo", job_file(tmp_path), "--out", out)
    assert code == 0, said
    assert re.search(r"step 0: greedy \d+\.\d% \(\d+\.\d% to \d+\.\d%\)", said)
    assert re.search(r"step 1 of 1  reward .*  correct .*  entropy .*  without contrast .*  [\d,]+ tokens/s", said)
    assert re.search(r"1 steps, [\d,]+ tokens generated to learn from in [\d,]+ s", said)
    assert f"written: {out}" in said
    assert {"config.json", "job.yaml", "report.md", "curve.png", "training.json"} <= {
        each.name for each in out.iterdir()
    }


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--out", "OUT"], 2, "give a job file"),
        (["--out", "OUT", "--resume"], 2, "no job has begun in"),
        (["JOB"], 2, "give --out"),
        (["./nothing.yaml", "--out", "OUT"], 1, "job nothing.yaml cannot be read: No such file"),
        (["WRONG", "--out", "OUT"], 1, "training.stepz is not a field"),
        (["EMPTY", "--out", "OUT"], 1, "problems is missing"),
        (["JOB", "--out", "/proc/out"], 1, "cannot be written"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    treestar, arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(JOB.format(steps=1).replace("steps", "stepz"))
    (tmp_path / "empty.yaml").write_text("policy: toy")
    named = {
        "OUT": tmp_path / "out",
        "JOB": job_file(tmp_path),
        "WRONG": tmp_path / "wrong.yaml",
        "EMPTY": tmp_path / "empty.yaml",
    }
    ended, out, err = treestar("train", "grpo", *(named.get(each, each) for each in arguments))
    assert ended == code, err
    assert sentence in re.sub(r"\s+", " ", out + err)


def test_show_prints_every_field(treestar, tmp_path: Path) -> None:
    code, printed, _ = treestar("train", "grpo", job_file(tmp_path), "--show")
    assert code == 0
    assert "epsilon_high: 0.28" in printed


def curve_of(out: Path) -> list[dict[str, Any]]:
    """What was logged, without what depends on the machine."""
    log = json.loads((out / "training.json").read_text())["log"]
    slow = ("seconds", "time", "runtime", "per_second", "flos", "train_loss")
    return [
        {name: value for name, value in entry.items() if not name.endswith(slow) and not name.startswith("seconds/")}
        for entry in log
    ]


@pytest.mark.slow
def test_a_killed_job_is_resumed_to_the_same_curve(treestar, tmp_path: Path) -> None:
    job = job_file(tmp_path, steps=4)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    code, _, said = treestar("train", "grpo", job, "--out", whole)
    assert code == 0, said
    command = [sys.executable, "-m", "treestar", "train", "grpo", str(job), "--out", str(out)]
    kill_after_a_checkpoint(command, out)
    code, _, said = treestar("train", "grpo", job, "--out", out)
    assert code == 1
    assert "--resume" in said
    code, _, said = treestar("train", "grpo", "--out", out, "--resume")
    assert code == 0, said
    assert curve_of(out) == curve_of(whole)


@pytest.mark.slow
def test_two_processes_train_together(tmp_path: Path) -> None:
    """Each samples its share of the problems, and both have the same weights and pass rates: one report, one curve."""
    job, out = job_file(tmp_path, steps=2), tmp_path / "out"
    launcher = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    result = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "treestar", "train", "grpo", str(job), "--out", str(out)],
        capture_output=True,
        text=True,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        timeout=400,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(f"written: {out}") == 1
    report = json.loads((out / "training.json").read_text())
    assert report["settings"]["processes"] == 2
    assert report["steps"] == 2
    steps = [entry for entry in report["log"] if "loss" in entry]
    assert all(entry["tokens/generated"] > 0 for entry in steps)
    assert len(json.loads((out / "evaluations" / "step-000002.json").read_text())) == 4
