"""Jobs of reinforcement learning: strict reading, and a whole job from the file to the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("reasoning_gym")

from treestar.config.job_files import job_as_yaml, job_from_yaml
from treestar.policy import load_policy
from treestar.reinforcement import GRPOJob, load_grpo_job, run_grpo_job
from treestar.selfevolve.job_folder import JOB
from treestar.types import TreestarError

SMALL = """
policy: toy-bootstrap
problems:
  gym:
    - {family: chain_sum, level: easy, problems: 4}
training:
  {steps: 1, problems_per_step: 2, group_size: 2, max_tokens: 60, temperature: 1.5, dynamic_sampling: 0,
   rewards: {correct: 1.0, executed: 0.1}}
evaluation: {cells: [{family: chain_sum, level: easy}], problems: 2, every: 1, samples: 2}
"""


def test_a_job_is_written_and_read_back() -> None:
    job = job_from_yaml(GRPOJob, SMALL, "job")
    assert (job.training.group_size, job.training.rewards["executed"]) == (2, 0.1)
    assert job.evaluation is not None
    assert job.evaluation.split == "test"
    assert job_from_yaml(GRPOJob, job_as_yaml(job), "again") == job


def test_the_guides_jobs_are_jobs() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "grpo.md").read_text()
    texts = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    values = [yaml.safe_load(text) for text in texts]
    jobs = [each for each in values if "policy" in each]
    [addition] = [each for each in values if "policy" not in each]
    assert len(jobs) == 2
    jobs.append({**jobs[0], "training": {**jobs[0]["training"], **addition["training"]}})
    for each in jobs:
        job = job_from_yaml(GRPOJob, yaml.safe_dump(each), "the guide's job")
        assert job.training.problems_per_step * job.training.group_size % job.training.batch_size == 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("steps: 1", "steps: 0", "training.steps must be a whole number, 1 or more, not 0"),
        ("steps: 1", "epochs: 2", "training.epochs is not a field"),
        ("every: 1", "every: 0", "evaluation.every must be"),
        ("cells: [{family: chain_sum, level: easy}], ", "", "evaluation.cells and .sets are both empty"),
        ("problems: 4}", "problems: 4, from_round: 2}", "this kind of job has no rounds"),
        ("executed: 0.1", "politeness: 0.1", "training.rewards must be weights of correct"),
    ],
)
def test_a_wrong_field_is_named(old: str, new: str, sentence: str) -> None:
    assert old in SMALL
    with pytest.raises(TreestarError, match=sentence):
        job_from_yaml(GRPOJob, SMALL.replace(old, new, 1), "the job")


def test_training_arguments_that_trl_does_not_know_are_refused_before_the_job_begins(tmp_path: Path) -> None:
    unknown = SMALL.replace("{steps: 1,", "{steps: 1, training_arguments: {warmup_ratios: 0.1},")
    with pytest.raises(TreestarError, match=r"training_arguments must not have warmup_ratios: trl\.GRPOConfig"):
        run_grpo_job(job_from_yaml(GRPOJob, unknown, "job"), tmp_path)
    assert not (tmp_path / JOB).exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "gym:\n    - {family: chain_sum, level: easy, problems: 4}",
            "data: [{name: 'jsonl:/no/such', label: a}]",
            "/no/su",
        ),
        ("policy: toy-bootstrap", "policy: toy-botstrap", "did you mean 'toy-bootstrap'"),
        ("{steps: 1,", "{steps: 1, step_format: retrieval,", "retrieval cannot be reinforced, because paragraphs"),
    ],
)
def test_what_a_job_names_and_cannot_be_used_leaves_the_folder_to_a_corrected_job(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    assert old in SMALL
    with pytest.raises(TreestarError, match=sentence):
        run_grpo_job(job_from_yaml(GRPOJob, SMALL.replace(old, new), "job"), tmp_path)
    assert not (tmp_path / JOB).exists()


@pytest.mark.slow
def test_a_job_leaves_a_policy_a_curve_and_a_report(tmp_path: Path) -> None:
    path, out = tmp_path / "job.yaml", tmp_path / "out"
    path.write_text(SMALL)
    job, said = load_grpo_job(path), []
    report = run_grpo_job(job, out, say=said.append)
    assert said == ["4 training problems; left out 0 duplicates and 0 that are used for evaluation; 2 to measure with"]
    assert load_policy(str(out)).format.name == load_policy("toy-bootstrap").format.name
    assert report["settings"]["rewards"] == {"correct": 1.0, "executed": 0.1}
    text = (out / "report.md").read_text()
    assert text.startswith("# Reinforcement learning, 1 step\n")
    assert "| step | generated tokens | seconds | greedy | pass@1 | pass@2 |" in text
    outcomes = json.loads((out / "evaluations" / "step-000001.json").read_text())
    assert len(outcomes) == 2
    assert set(outcomes[0]) == {"cell", "problem_id", "greedy", "solved", "tokens"}
    assert load_grpo_job(out / JOB) == job
    with pytest.raises(TreestarError, match="already contains a job: give --resume"):
        run_grpo_job(job, out)
    with pytest.raises(TreestarError, match=r"made with other settings \(training.steps\)"):
        run_grpo_job(job_from_yaml(GRPOJob, SMALL.replace("steps: 1", "steps: 2"), "job"), out, resume=True)
