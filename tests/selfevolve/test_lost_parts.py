"""A finished part of a job that is missing is noticed: it is made again, or one sentence says what is missing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.evolving import content_of, scripted_backends, small_job

from treestar.selfevolve.job import Job
from treestar.selfevolve.listener import EvolutionListener
from treestar.selfevolve.rounds import evolve
from treestar.types import TreestarError


class Told(EvolutionListener):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def begin(self, place: str, total: int | None, done: int = 0, right: int = 0) -> None:
        if total is None:
            self.begun.append(place)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return small_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="module")
def finished(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    evolve(job, out, backends=scripted_backends())
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "out")


def resumed(job: Job, out: Path) -> Told:
    told = Told()
    evolve(job, out, resume=True, backends=scripted_backends(), progress=told)
    return told


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize(
    ("table", "phase"),
    [
        ("round-1/trees", "round 1 search"),
        ("round-2/trees", "round 2 search"),
        ("round-1/sft", "round 1 selection"),
        ("round-2/pairs", "round 2 selection"),
        ("round-0/evaluation", "round 0 evaluation"),
        ("round-2/evaluation", "round 2 evaluation"),
    ],
)
def test_a_table_that_was_deleted_is_made_again(
    job: Job, finished: Path, out: Path, table: str, phase: str, emptied: bool
) -> None:
    shutil.rmtree(out / table)
    if emptied:
        (out / table).mkdir()
    told = resumed(job, out)
    assert f"{out / table} is missing or empty: {phase} is done again" in told.said
    assert told.begun == [phase]
    assert content_of(out) == content_of(finished)


@pytest.mark.parametrize("text", ["", "{", "{}", "null"])
def test_a_record_that_says_nothing_is_written_again(job: Job, finished: Path, out: Path, text: str) -> None:
    (out / "round-1" / "phases" / "selection.json").write_text(text)
    assert resumed(job, out).begun == ["round 1 selection"]
    assert content_of(out) == content_of(finished)


@pytest.mark.parametrize("model", ["policy", "ppm"])
def test_the_last_models_are_trained_again(job: Job, finished: Path, out: Path, model: str) -> None:
    folder = out / "round-2" / model
    shutil.rmtree(folder)
    told = resumed(job, out)
    assert f"{folder} is missing or unfinished: it is trained again" in told.said
    assert content_of(out) == content_of(finished)


def test_earlier_models_are_trained_again_only_where_they_are_needed(job: Job, finished: Path, out: Path) -> None:
    for model in ("policy", "ppm"):
        shutil.rmtree(out / "round-1" / model)
    assert not any("trained again" in line for line in resumed(job, out).said)
    shutil.rmtree(out / "round-2" / "trees")  # which were searched with both
    told = resumed(job, out)
    again = [line for line in told.said if "trained again" in line]
    assert again == [
        f"{out / 'round-1' / model} is missing or unfinished: it is trained again" for model in ("policy", "ppm")
    ]
    assert content_of(out) == content_of(finished)


def test_a_training_starts_from_what_it_started_from_before(job: Job, tmp_path: Path) -> None:
    """Not from what happens to be there: an earlier PPM, or the policy."""
    bases: dict[str, str] = {}
    usual = scripted_backends()

    def noting(train: Any) -> Any:
        def noted(data: Any, base: str, folder: Path, *arguments: Any, **named: Any) -> Any:
            bases[str(folder.relative_to(tmp_path))] = base
            return train(data, base, folder, *arguments, **named)

        return noted

    backends = replace(usual, train_policy=noting(usual.train_policy), train_ppm=noting(usual.train_ppm))
    continued = replace(job, continue_policy=True, continue_ppm=True)
    evolve(continued, tmp_path, backends=backends)
    before = dict(bases)
    assert before["round-2/ppm"] == str(tmp_path / "round-1" / "ppm")
    bases.clear()
    for number in (1, 2):
        shutil.rmtree(tmp_path / f"round-{number}" / "policy")
        shutil.rmtree(tmp_path / f"round-{number}" / "ppm")
    evolve(continued, tmp_path, resume=True, backends=backends)
    assert bases == before


def test_a_job_without_its_settings_is_refused(job: Job, out: Path) -> None:
    (out / "job.yaml").unlink()
    with pytest.raises(TreestarError, match=r"has the rounds of a job, but job\.yaml.* is missing: put it back"):
        resumed(replace(job, seed=1), out)


def test_a_model_without_its_report_is_one_sentence(job: Job, out: Path) -> None:
    (out / "round-1" / "phases" / "sft.json").unlink()
    (out / "round-1" / "policy" / "training.json").unlink()
    with pytest.raises(TreestarError, match=r"training\.json is missing or damaged, .* to train it again"):
        resumed(job, out)
