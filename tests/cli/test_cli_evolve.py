"""`treestar evolve` as users see it, and one real job with the toy model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from support.evolving import rows_of

from treestar.cli import main
from treestar.config.job_files import job_from_yaml
from treestar.selfevolve.job import Job, load_job, preset_path
from treestar.storage.files import read_json

COMMAND = str(Path(sys.executable).parent / "treestar")

JOB = """
problems:
  gym:
    - {family: chain_sum, level: easy, problems: 1}
    - {family: basic_arithmetic, level: easy, problems: 2}
    - {family: basic_arithmetic, level: mid, problems: 2}
rounds:
  - mode: terminal
    search: {max_rollouts: 6, children: 4}
    escalation: [{max_rollouts: 4, exploration: {share: 1.0, tries: 5000, cells: [basic_arithmetic/mid]}}]
    exploration: {share: 0.25}
  - {mode: ppm, search: {max_rollouts: 3, children: 4}}
sft: {epochs: 1, batch_size: 8}
ppm: {epochs: 1}
evaluation:
  cells: [{family: chain_sum, level: easy}]
  problems: 1
  search: {max_rollouts: 2, children: 2}
"""


@pytest.fixture
def treestar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call `treestar evolve` in this process: exit code, stdout, stderr. It must never end with a traceback."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["treestar", "evolve", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return call


def test_a_preset_can_be_shown_and_is_a_job(treestar) -> None:
    code, shown, _ = treestar("--preset", "toy", "--show")
    assert code == 0
    assert job_from_yaml(Job, shown, "shown") == load_job(preset_path("toy"))


def test_a_preset_whose_models_and_questions_have_to_be_made_says_how(
    treestar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = treestar("--preset", "word-problems", "--out", "out")
    assert code == 1
    assert "policy 'runs/word-problems/policy': there is no such folder" in said
    assert "have to be made first, in a checkout of treestar, by the bootstrap of recipes/word_problems" in said
    assert not (tmp_path / "out" / "job.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--out", "OUT"], 2, "give a job file or a --preset"),
        (["JOB", "--preset", "toy", "--out", "OUT"], 2, "not both"),
        (["JOB"], 2, "give --out, the folder"),
        (["--preset", "nobody", "--out", "OUT"], 1, "unknown preset 'nobody': choose one of rstar-math, toy,"),
        (["./missing.yaml", "--out", "OUT"], 1, "cannot be read: No such file"),
        (["BAD", "--out", "OUT"], 1, "rounds[0].mode must be terminal or ppm"),
        (["JOB", "--out", "/proc/out"], 1, "/proc/out cannot be written"),
        (["JOB", "--out", "OUT", "--concurrency", "0"], 2, "Invalid value for '--concurrency'"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    treestar, arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "bad.yaml").write_text(JOB.replace("mode: terminal", "mode: none"))
    named = {"OUT": tmp_path / "out", "JOB": tmp_path / "job.yaml", "BAD": tmp_path / "bad.yaml"}
    ended, out, err = treestar(*(named.get(argument, argument) for argument in arguments))
    assert ended == code, err
    assert sentence in re.sub(r"\s+", " ", out + err)


@pytest.mark.slow
def test_two_rounds_with_the_toy_model_train_a_policy_and_a_ppm_that_the_next_one_searches_with(
    tmp_path: Path,
) -> None:
    (tmp_path / "job.yaml").write_text(f"{JOB}launcher: {sys.executable}\n")  # a launcher of one process
    out = tmp_path / "out"
    command = [COMMAND, "evolve", tmp_path / "job.yaml", "--out", out]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, second = (read_json(out / f"round-{number}" / "report.json") for number in (1, 2))
    assert first["sft"]["steps"] > 0
    assert first["ppm_training"]["steps"] > 0
    assert (second["policy"], second["ppm"]) == ("round-1/policy", "round-1/ppm")
    assert second["search"]["scored_tokens"] > 0
    assert first["search"]["scored_tokens"] == 0
    assert set(second["evaluation"]) == {"greedy", "search", "ppm_fixed_policy"}
    assert first["search"]["solved"] > 0
    assert all(row["copies"] >= 0 for row in rows_of(out / "round-2" / "sft"))
    assert "(the paper's Table 2)" in (out / "report.md").read_text()
    assert (out / "progress.png").exists()
    again = subprocess.run([*command[:2], "--out", out, "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "round" not in again.stderr.replace(str(out), "")
