"""Job files: strict reading with errors that name the field, presets, and where training problems come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from treestar.benchmarks.gym import split_of
from treestar.config.job_files import job_as_yaml, job_from_yaml
from treestar.selfevolve.bound.exploration import ExplorationConfig
from treestar.selfevolve.job import Job, begun_job, load_as, load_job, preset_names, preset_path
from treestar.selfevolve.job_folder import begin_job, check_begun
from treestar.selfevolve.problems import TrainingProblems, cell_of, evaluation_problems, training_problems
from treestar.selfevolve.trainings import ppm_base_of
from treestar.types import Problem, TreestarError

SMALL = """
problems:
  gym:
    - {family: chain_sum, level: easy, problems: 3}
    - {family: gcd, level: mid, problems: 2, from_round: 2}
rounds:
  - {mode: terminal, search: {max_rollouts: 4}}
  - {mode: ppm, escalation: [{max_rollouts: 64}, {max_rollouts: 128, temperature: 1.2}]}
"""


def training_of(job: Job, measured: Iterable[Problem] = ()) -> TrainingProblems:
    return training_problems(job.problems, job.seed, measured)


def test_an_escalation_explores_as_its_round_does_unless_it_says_otherwise() -> None:
    job = job_from_yaml(
        Job,
        SMALL.replace(
            "search: {max_rollouts: 4}",
            "search: {}, exploration: {}, "
            "escalation: [{max_rollouts: 4}, {max_rollouts: 4, exploration: {share: 1.0, tries: 9}}]",
        ),
        "job",
    )
    own, other = ExplorationConfig(), ExplorationConfig(share=1.0, tries=9)
    assert job.rounds[0].explorations() == (own, own, other)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_a_job_that_is_written_and_read_back(name: str) -> None:
    job = load_job(preset_path(name))
    assert job_from_yaml(Job, job_as_yaml(job), "again") == job


def test_the_papers_preset_has_the_papers_numbers_and_cites_them() -> None:
    job = load_job(preset_path("rstar-math"))
    assert [each.mode for each in job.rounds] == ["terminal", "terminal", "ppm", "ppm"]
    assert [each.search.max_rollouts for each in job.rounds] == [8, 16, 16, 16]
    assert [each.max_rollouts for each in job.rounds[3].escalation] == [64, 128]
    assert {(each.search.children, each.search.max_depth, each.search.exploration) for each in job.rounds} == {
        (8, 16, 2.0)
    }
    assert job.selection.trajectories == 2
    assert not job.continue_policy
    text = preset_path("rstar-math").read_text()
    assert len(re.findall(r"section [34]\.\d", text, re.IGNORECASE)) >= 10


def test_what_is_not_given_has_its_default_also_inside_of_what_is() -> None:
    job = job_from_yaml(Job, SMALL, "job")
    assert job.rounds[0].search.gold  # a search for training data, unlike the default of a search
    assert (job.rounds[0].search.max_rollouts, job.rounds[1].search.max_rollouts) == (4, 16)
    assert [(each.max_rollouts, each.temperature) for each in job.rounds[1].attempts()] == [
        (16, None),
        (64, None),
        (128, 1.2),
    ]
    assert job.rounds[1].explorations() == (None, None, None)
    assert job_from_yaml(Job, SMALL + "sft: {learning_rate: 1e-4}", "job").sft == replace(job.sft, learning_rate=1e-4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rounds: [{mode: terminal}]", "problems is missing"),
        ("problems: {}\nrounds: [{mode: terminal}]", "problems.gym and .data are both empty"),
        (SMALL + "round: 4", "round is not a field: did you mean rounds? a job has bootstrap, base, "),
        (
            SMALL.replace("max_rollouts: 4", "rolouts: 4"),
            "rounds[0].search.rolouts is not a field: did you mean max_rollouts? rounds[0].search has ",
        ),
        (
            SMALL.replace("max_rollouts: 4", "max_rollouts: many"),
            "rounds[0].search.max_rollouts must be a whole number, not 'many'",
        ),
        (
            SMALL.replace("max_rollouts: 4", "max_rollouts: 0"),
            "rounds[0].search.max_rollouts must be a whole number, 1 or more, not 0",
        ),
        (
            SMALL.replace("max_rollouts: 4", "gold: false"),
            "rounds[0].search.gold must be true: trees without verdicts",
        ),
        (SMALL.replace("mode: ppm", "mode: fast"), "rounds[1].mode must be terminal or ppm, not 'fast'"),
        (SMALL.replace("mode: terminal", "mode: ppm"), "rounds[0].mode is ppm, but no PPM is trained before it"),
        (SMALL + "ppm: null", "rounds[1].mode is ppm, but no PPM is trained before it"),
        (
            SMALL.replace("mid, problems: 2", "mid, problems: 0"),
            "problems.gym[1].problems must be a whole number, 1 or",
        ),
        (SMALL.replace("level: mid", "level: middle"), "problems.gym[1].level must be one of easy, mid, hard for gcd"),
        (
            SMALL + "selection: {copies: {hard: -1}}",
            "selection.copies.hard must be a finite number, 0 or more, not -1.0",
        ),
        (SMALL + "selection: {easy_from: 0.1}", "selection.hard_up_to must be at least 0 and less than easy_from"),
        (SMALL + "sft: {epochs: 0}", "sft.epochs must be a finite number above 0, not 0.0"),
        (SMALL + "sft: [1]", "sft must be an object with fields, not [1]"),
        (
            SMALL + "ppm_training_arguments: {per_device_train_batch_size: 2}",
            "ppm_training_arguments must not have per_device_train_batch_size: batch_tokens says",
        ),
        (SMALL + "seed: yes", "seed must be a whole number, not True"),
        (SMALL + "load_as: vllm", "load_as must be a text with {model} in it, not 'vllm'"),
        (SMALL + "evaluation: {problems: 4}", "evaluation.cells and .sets are both empty"),
        (SMALL.replace("rounds:", "rounds: ["), "the job is not YAML: "),
        (SMALL + "seed: 1\nseed: 2", "the job is not YAML: duplicate key 'seed'"),
        ("- 1", "a job must be an object with fields, not [1]"),
        ("problems: {data: [{name: math500, label: m}]}\nrounds: [{mode: terminal}]", "problems.data[0].name must be"),
        (
            "problems: {data: [{name: 'hf:openai/gsm8k:main', label: m}]}\nrounds: [{mode: terminal}]",
            "problems.data[0].name must be with a split other than test",
        ),
        (
            "problems: {data: [{name: 'hf:a/b@train+test[:9]', label: m}]}\nrounds: [{mode: terminal}]",
            "problems.data[0].name must be with a split other than test",
        ),
        (SMALL + "? [a]\n: 1", "the job is not YAML: a name must be plain text"),
    ],
)
def test_an_error_names_the_field_and_what_is_allowed(text: str, sentence: str) -> None:
    with pytest.raises(TreestarError, match=re.escape(sentence)):
        job_from_yaml(Job, text, "the job")


def test_a_job_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(TreestarError, match=r"job .*missing\.yaml cannot be read: No such file"):
        load_job(tmp_path / "missing.yaml")
    with pytest.raises(TreestarError, match="unknown preset 'embeded': choose one of rstar-math, toy, toy-quick"):
        preset_path("embeded")


def test_problems_are_of_the_training_split_and_come_in_their_rounds() -> None:
    found = training_of(job_from_yaml(Job, SMALL, "job"))
    first, second = found.of_round(1), found.of_round(2)
    assert [cell_of(problem) for problem in first] == ["chain_sum/easy"] * 3
    assert [cell_of(problem) for problem in second] == ["chain_sum/easy"] * 3 + ["gcd/mid"] * 2
    assert all(split_of(problem.question) == "train" for problem in second)
    other = training_of(job_from_yaml(Job, SMALL + "seed: 1", "job"))
    assert not {problem.question for problem in second} & {problem.question for problem in other.of_round(2)}


def test_expressions_can_be_asked_for_in_other_words() -> None:
    cell = "family: basic_arithmetic, level: easy, problems: 40"
    job = job_from_yaml(
        Job, f"problems: {{gym: [{{{cell}}}, {{{cell}, reworded: true}}]}}\nrounds: [{{mode: terminal}}]", "job"
    )
    found = training_of(job).of_round(1)
    plain, worded = found[:40], found[40:]
    assert all(problem.question.startswith("Calculate ") for problem in plain)
    assert {problem.question.split()[0] for problem in worded} == {"What", "Compute", "Evaluate:", "Solve"}
    assert [problem.answer for problem in worded] == [problem.answer for problem in plain]
    assert len({problem.id for problem in found}) == 80


def data_job(folder: Path, questions: list[str], measured: list[str]) -> Job:
    for name, texts in (("a", questions), ("b", questions[:1]), ("m", measured)):
        lines = [json.dumps({"question": text, "answer": "1"}) for text in texts]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    sources = [f"{{name: 'jsonl:{folder}/{name}.jsonl', label: {name}}}" for name in "ab"]
    return job_from_yaml(
        Job,
        f"problems: {{data: [{', '.join(sources)}]}}\nrounds: [{{mode: terminal}}]\n"
        f"evaluation: {{sets: ['jsonl:{folder}/m.jsonl']}}",
        "job",
    )


def test_what_is_measured_with_or_was_there_before_is_not_trained_on(tmp_path: Path) -> None:
    job = data_job(tmp_path, ["one?", "two?", "three?", "two?"], ["three  ?", "two?"])
    measured = evaluation_problems(job.evaluation)
    found = training_of(job, [problem for each in measured.values() for problem in each])
    assert [(problem.id, problem.question) for problem in found.of_round(1)] == [("a-1", "one?"), ("a-3", "three?")]
    assert (found.duplicates, found.evaluated) == (2, 2)


def test_a_program_to_be_written_is_no_training_problem(tmp_path: Path) -> None:
    job = data_job(tmp_path, ["one?"], ["two?"])
    (tmp_path / "b.jsonl").write_text('{"question": "?", "entry_point": "f", "tests": "assert f()", "id": "x"}')
    with pytest.raises(TreestarError, match=r"problem 'x' of jsonl:.* is not a math problem"):
        training_of(job)


def test_a_ppm_starts_from_the_policy_or_from_the_latest_ppm(tmp_path: Path) -> None:
    new, further = job_from_yaml(Job, SMALL, "job"), job_from_yaml(Job, SMALL + "continue_ppm: true", "job")
    policy = str(tmp_path / "round-3" / "policy")
    assert ppm_base_of(further, tmp_path, 3) == policy
    for number, report in ((1, {}), (2, {"skipped": "no preference pairs, so no PPM"})):
        record = tmp_path / f"round-{number}" / "phases" / "ppm.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"report": report, "seconds": 1.0, "generated_tokens": 0}))
    assert ppm_base_of(further, tmp_path, 3) == str(tmp_path / "round-1" / "ppm")
    assert ppm_base_of(new, tmp_path, 3) == policy


def test_models_that_a_job_has_trained_are_loaded_as_it_says(tmp_path: Path) -> None:
    job = job_from_yaml(Job, SMALL + "load_as: 'vllm:{model}?seed=1'", "job")
    assert load_as(job, f"{tmp_path}/round-1/policy", tmp_path) == f"vllm:{tmp_path}/round-1/policy?seed=1"
    assert load_as(job, "toy", tmp_path) == "toy"


@pytest.mark.filterwarnings("error::FutureWarning")
def test_a_job_by_old_names_is_said_once_and_an_old_jobs_folder_is_read_without_a_word(tmp_path: Path) -> None:
    job, before = job_from_yaml(Job, SMALL, "job"), SMALL.replace("max_rollouts", "rollouts")
    with pytest.warns(FutureWarning, match="`rollouts` is now `max_rollouts`"):
        assert job_from_yaml(Job, before, "job") == job
    (tmp_path / "job.yaml").write_text(before)
    assert begun_job(tmp_path) == job
    check_begun(job, tmp_path, resume=True, can_grow="rounds")
    begin_job(job, tmp_path)
