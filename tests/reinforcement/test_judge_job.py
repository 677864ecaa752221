"""Jobs of judges: strict reading, the whole way from problems to a judge, and a job that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

pytest.importorskip("reasoning_gym")

from support.judging import annotated, save_long_tiny_model, walks
from support.segmenting import segmented
from support.tiny_model import save_tiny_model

from treestar.config.job_files import job_as_yaml, job_from_yaml
from treestar.judge.annotate import read_chunks
from treestar.judge.config import AnnotationConfig
from treestar.judge.load import is_judge
from treestar.policy.load import read_step_format
from treestar.ppm.load import load_scorer
from treestar.reinforcement import JudgeJob, load_judge_job, run_judge_job
from treestar.selfevolve.problems import sources_named
from treestar.training.judge.data import read_examples
from treestar.training.judge.train import Listener
from treestar.types import TreestarError

SMALL = """
policy: toy-bootstrap
problems:
  gym:
    - {family: chain_sum, level: mid, problems: 8}
annotation: {responses: 6, completions: 2, trajectories: 2, rule: abs_q}
training: {mode: discriminative, held_out: 0.0, balance: false, sft: {epochs: 1, batch_size: 4}}
"""


def small_job(**changes: str) -> JudgeJob:
    text = SMALL
    for old, new in changes.items():
        text = text.replace(old, new)
    return job_from_yaml(JudgeJob, text, "job")


def test_a_job_is_written_and_read_back() -> None:
    job = small_job()
    assert (job.annotation.completions, job.training.mode, job.training.sft.batch_size) == (2, "discriminative", 4)
    assert job.training.grpo.group_size == 4
    assert job_from_yaml(JudgeJob, job_as_yaml(job), "again") == job
    with_segments = job_from_yaml(JudgeJob, SMALL + "segmentation: {segmenter: rules, training: {epochs: 3}}\n", "job")
    assert with_segments.segmentation is not None
    assert with_segments.segmentation.alone().tries == 8
    assert job_from_yaml(JudgeJob, job_as_yaml(with_segments), "again") == with_segments


def test_the_guides_jobs_are_jobs() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "judge.md").read_text()
    texts = [
        text for text in re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL) if "problems:" in text
    ]
    assert texts
    for text in texts:
        job_from_yaml(JudgeJob, text, "the guide's job")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("completions: 2", "completions: 0", "annotation.completions must be a whole number, 1 or more, not 0"),
        ("rule: abs_q", "rule: q", "annotation.rule must be"),
        ("mode: discriminative", "mode: ppo", "training.mode must be"),
        ("epochs: 1", "epoch: 1", "training.sft.epoch is not a field"),
        ("annotation:", "analyses: a.jsonl\nannotation:", "analyses must be left out where the training's mode is"),
        ("problems: 8}", "problems: 8, from_round: 2}", "this kind of job has no rounds"),
    ],
)
def test_a_wrong_field_is_named(old: str, new: str, sentence: str) -> None:
    with pytest.raises(TreestarError, match=sentence):
        small_job(**{old: new})


def test_training_arguments_that_trl_does_not_know_are_refused_before_anything_is_sampled(tmp_path: Path) -> None:
    unknown = small_job(**{"batch_size: 4": "training_arguments: {warmup_ratios: 0.1}"})
    with pytest.raises(TreestarError, match=r"training\.sft\.training_arguments must not have warmup_ratios: trl\.SFT"):
        run_judge_job(unknown, tmp_path / "out")
    assert not (tmp_path / "out" / "job.yaml").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "gym:\n    - {family: chain_sum, level: mid, problems: 8}",
            "data: [{name: 'jsonl:/no/such', label: a}]",
            "/no/su",
        ),
        ("policy: toy-bootstrap", "policy: toy-botstrap", "did you mean 'toy-bootstrap'"),
    ],
)
def test_what_a_job_names_and_is_not_there_leaves_the_folder_to_a_corrected_job(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    assert old in SMALL
    with pytest.raises(TreestarError, match=sentence):
        run_judge_job(small_job(**{old: new}), tmp_path / "out")
    assert not (tmp_path / "out" / "job.yaml").exists()


def test_problems_are_named_on_the_command_line() -> None:
    found = sources_named(["rg:chain_sum", "rg:gcd:easy", "jsonl:mine.jsonl", "hf:a/b@train"], 30)
    assert [(each.family, each.level, each.problems) for each in found.gym] == [
        ("chain_sum", "easy", 10),
        ("chain_sum", "mid", 10),
        ("chain_sum", "hard", 10),
        ("gcd", "easy", 30),
    ]
    assert [each.name for each in found.data] == ["jsonl:mine.jsonl", "hf:a/b@train"]
    for name, sentence in (("gsm8k", "gsm8k"), ("rg:chess", "family"), ("hf:a/b", "split other than test")):
        with pytest.raises(TreestarError, match=sentence):
            sources_named([name], 30)


def test_a_job_trains_on_the_chunks_that_an_earlier_run_has_labeled(tmp_path: Path) -> None:
    """The labels are of a scripted policy, and the judge is made from the tiny model."""
    out = tmp_path / "out"
    base = save_long_tiny_model(tmp_path / "base")
    labeled = asyncio.run(annotated(out / "annotation", walks(6), AnnotationConfig(responses=8, completions=4)))
    (out / "report.json").write_text(json.dumps({"annotation": labeled.to_json()}))
    job = small_job(**{"annotation:": f"base: {base}\nannotation:"})
    found = run_judge_job(job, out)
    assert found["annotation"] == labeled.to_json()
    assert found["judge"]["data"]["rows"] > 0
    assert json.loads((out / "report.json").read_text()) == found
    [example, *_] = read_examples([out / "annotation"], None)
    scores = asyncio.run(load_scorer(str(out / "judge")).score([example.state]))
    assert -1 <= scores.values[0] <= 1
    with pytest.raises(TreestarError, match="already contains a job: give --resume"):
        run_judge_job(job, out)
    with pytest.raises(TreestarError, match=r"made with other settings \(annotation.completions\)"):
        run_judge_job(replace(job, annotation=replace(job.annotation, completions=3)), out, resume=True)
    assert run_judge_job(load_judge_job(out / "job.yaml"), out, resume=True) == found, "nothing is done again"


def test_a_stage_whose_folder_is_lost_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, said = tmp_path / "out", []
    base = save_long_tiny_model(tmp_path / "base")
    labeled = asyncio.run(annotated(out / "annotation", walks(6), AnnotationConfig(responses=8, completions=4)))
    (out / "report.json").write_text(json.dumps({"annotation": labeled.to_json()}))
    job = small_job(**{"annotation:": f"base: {base}\nannotation:"})
    found = run_judge_job(job, out)
    rmtree(out / "judge")
    listener = Listener(say=said.append)
    assert run_judge_job(job, out, resume=True, listener=listener) == found
    assert f"{out / 'judge'} is missing or damaged: this stage is done again" in said
    assert (out / "judge" / "config.json").exists()
    [shard] = (out / "annotation" / "chunks").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-9])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TreestarError, match="does not have all its data: run the job in one process"):
        run_judge_job(job, out, resume=True)


@pytest.mark.slow
def test_a_job_leaves_labeled_chunks_a_judge_and_a_report(tmp_path: Path) -> None:
    out, said = tmp_path / "out", []
    found = run_judge_job(small_job(), out, listener=Listener(say=said.append))
    assert list(found) == ["annotation", "judge"]
    assert json.loads((out / "report.json").read_text()) == found
    assert found["annotation"]["chunks"] == len(list(read_chunks(out / "annotation"))) > 0
    assert found["judge"]["data"]["rows"] > 0
    assert any(line.startswith("annotation: ") for line in said)
    assert run_judge_job(load_judge_job(out / "job.yaml"), out, resume=True) == found, "nothing is done again"
    (out / "report.json").write_text("{")
    assert run_judge_job(load_judge_job(out / "job.yaml"), out, resume=True) == found, "each stage finds its own"
    rows = list(read_chunks(out / "annotation"))
    rmtree(out / "annotation")
    assert run_judge_job(load_judge_job(out / "job.yaml"), out, resume=True) == found
    assert list(read_chunks(out / "annotation")) == rows, "the same data is made again"


def test_a_policy_is_taught_chunks_before_its_chunks_are_labeled(tmp_path: Path) -> None:
    """The segmentation is done; the tiny model learns its form, and then solves nothing."""
    base, out = save_tiny_model(tmp_path / "base", max_position_embeddings=512), tmp_path / "out"
    segmented(out / "segmentation", count=3)
    (out / "report.json").write_text(json.dumps({"segmentation": {}}))
    text = SMALL.replace("toy-bootstrap", str(base)).replace("responses: 6", "responses: 2, max_depth: 2")
    text += "segmentation: {training: {epochs: 1, batch_size: 4}}\n"
    with pytest.raises(TreestarError, match=r"no problem is sometimes solved and sometimes not \(8 all wrong"):
        run_judge_job(job_from_yaml(JudgeJob, text, "job"), out)
    assert read_step_format(str(out / "policy")).name == "chunk"
    assert json.loads((out / "report.json").read_text())["policy"]["steps"] > 0


GRPO_JOB = """
policy: toy-bootstrap
problems: {gym: [{family: chain_sum, level: mid, problems: 10}]}
annotation: {responses: 6, completions: 4, trajectories: 2}
training:
  mode: grpo
  balance: false
  held_out: 0.3
  evaluate_every: 2
  grpo: {steps: 3, problems_per_step: 2, updates: 1, max_tokens: 16, dynamic_sampling: 0, save_steps: 1, warmup: 0.0}
"""


@pytest.mark.slow
def test_a_job_that_is_killed_at_random_moments_makes_the_same_data(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(GRPO_JOB)
    whole = tmp_path / "whole"
    run_judge_job(load_judge_job(path), whole)
    out, rng, kills = tmp_path / "killed", random.Random(0), 0
    command = [sys.executable, "-m", "treestar", "judge", "run", str(path), "--out", str(out), "--resume"]
    while True:
        process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        limit = 12 + rng.random() * 20 if kills < 5 else 3600
        while process.poll() is None and time.monotonic() - began < limit:
            time.sleep(0.05)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read() if process.stderr else ""
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills > 0
    assert list(read_chunks(out / "annotation")) == list(read_chunks(whole / "annotation"))
    reports = [json.loads((folder / "report.json").read_text()) for folder in (out, whole)]
    assert reports[0]["annotation"] == reports[1]["annotation"]
    assert is_judge(str(out / "judge"))
    assert (out / "judge" / "report.md").exists()
