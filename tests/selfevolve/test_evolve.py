"""Self-evolution as a whole: the files of a job, and surviving kills, damage and a full disk."""

from __future__ import annotations

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
from typing import Any

import pytest
from rich.console import Console
from support.evolving import content_of, rows_of, scripted_backends, small_job

from treestar.cli.evolve_progress import EvolutionProgress
from treestar.config.job_files import job_as_yaml, job_from_yaml
from treestar.policy.formats import BoundFormat, RStarFormat
from treestar.ppm.trees import read_trees
from treestar.search import Tree
from treestar.selfevolve.job import Copies, Job
from treestar.selfevolve.rounds import evolve
from treestar.storage.files import read_json
from treestar.storage.table import Row, Table
from treestar.training import PPMTrainingConfig, SFTTrainingConfig
from treestar.types import TreestarError

PROGRAM = ["-m", "support.evolving"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    return small_job(folder)


@pytest.fixture(scope="module")
def whole(job: Job, folder: Path) -> dict[str, object]:
    """The job's results without an interruption."""
    evolve(job, folder / "whole", backends=scripted_backends())
    return content_of(folder / "whole")


def run_on(job: Job, out: Path) -> str:
    """Continue a job, and return its messages."""
    console = Console(record=True, quiet=False, file=open(os.devnull, "w"), width=1000)  # noqa: SIM115
    evolve(job, out, resume=True, backends=scripted_backends(), progress=EvolutionProgress(console))
    return console.export_text()


def test_a_job_leaves_data_models_and_reports_of_every_round(whole: dict[str, object], folder: Path) -> None:
    first, second = (read_json(folder / "whole" / f"round-{number}" / "report.json") for number in (1, 2))
    assert (first["mode"], first["policy"], first["ppm"]) == ("terminal", "toy", None)
    assert (second["mode"], second["policy"], second["ppm"]) == ("ppm", "round-1/policy", "round-1/ppm")
    assert set(first["phases"]) == {"search", "selection", "sft", "ppm", "evaluation"}
    search = second["search"]
    assert sum(search["by_difficulty"].values()) == search["problems"] == 20
    assert search["solved"] == 20 - search["by_difficulty"]["unsolved"]
    assert search["by_cell"] == {"numbers": {"problems": 20, "solved": search["solved"]}}
    # Only what the first searches left unsolved is searched again.
    attempts = search["by_attempt"]
    assert attempts[1]["searches"] == 20 - attempts[0]["solved"] > 0
    assert set(second["evaluation"]) == {"greedy", "search", "ppm_fixed_policy"}
    bootstrap = read_json(folder / "whole" / "round-0" / "report.json")
    assert (bootstrap["round"], set(bootstrap["evaluation"])) == (0, {"greedy", "search"})


def test_the_tables_are_what_the_reports_say(whole: dict[str, object], folder: Path) -> None:
    out = folder / "whole"
    trees, report = rows_of(out / "round-1" / "trees"), read_json(out / "round-1" / "report.json")
    assert sum(row["rollouts"] for row in trees) == report["search"]["rollouts"]
    assert len({(row["problem_id"], row["seed"]) for row in trees}) == len(trees)
    assert all(Tree.from_json(json.loads(row["tree"])).problem.id == row["problem_id"] for row in trees)
    selected = rows_of(out / "round-2" / "sft")
    assert (
        len(selected)
        == report["selection"]["rows"] + read_json(out / "round-2/report.json")["selection"]["trajectories"]
    )
    assert {row["round"] for row in selected} == {1, 2}
    by_tree = {(row["round"], row["problem_id"], row["seed"]): row for row in [*trees, *rows_of(out / "round-2/trees")]}
    for row in selected:
        tree = Tree.from_json(json.loads(by_tree[row["round"], row["problem_id"], row["seed"]]["tree"]))
        assert tree.nodes[row["node"]].correct
    assert len(rows_of(out / "round-2" / "pairs")) == read_json(out / "round-2/report.json")["selection"]["pairs"]


def test_the_trees_of_a_job_can_be_read_like_saved_ones(whole: dict[str, object], folder: Path) -> None:
    out = folder / "whole"
    rows = [row for number in (1, 2) for row in rows_of(out / f"round-{number}" / "trees")]
    trees = read_trees(out)
    assert [tree.to_json() for tree in trees] == [json.loads(row["tree"]) for row in rows]
    assert trees.skipped == []
    first = out / "round-1" / "trees" / "00000.parquet"
    assert Tree.load(first, problem=rows[3]["problem_id"]).to_json() == json.loads(rows[3]["tree"])


def test_the_tables_open_in_datasets_and_pandas(whole: dict[str, object], folder: Path, tmp_path: Path) -> None:
    import pandas
    from datasets import load_dataset

    table = folder / "whole" / "round-2" / "sft"
    rows = load_dataset("parquet", data_files=str(table / "*.parquet"), split="train", cache_dir=str(tmp_path))
    assert len(rows) == len(pandas.read_parquet(table)) > 0


def test_the_same_seed_gives_the_same_data_whatever_runs_beside_it(
    job: Job, whole: dict[str, object], tmp_path: Path
) -> None:
    evolve(job, tmp_path, concurrency=1, backends=scripted_backends())
    assert content_of(tmp_path) == whole


def test_killed_at_random_moments_a_job_ends_with_the_same_data(
    job: Job, whole: dict[str, object], folder: Path
) -> None:
    """Each run is killed at a random moment. The job is slowed down so that four are needed."""
    (folder / "small.yaml").write_text(job_as_yaml(job))
    moments = random.Random(11)
    killed = 0
    while True:
        process = subprocess.Popen(
            [sys.executable, *PROGRAM, folder, "0.004"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        try:
            _, said = process.communicate(timeout=None if killed == 4 else moments.uniform(0.0, 0.55))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        assert process.returncode == 0, said
        break
    assert killed == 4
    assert content_of(folder / "out") == whole


def test_two_jobs_on_one_folder_are_refused(job: Job, folder: Path) -> None:
    (folder / "busy").mkdir()
    (folder / "busy" / "small.yaml").write_text(job_as_yaml(job))
    with subprocess.Popen([sys.executable, *PROGRAM, folder / "busy", "0.2"], stdout=subprocess.PIPE) as process:
        out = folder / "busy" / "out"
        while not (out / "job.yaml").exists():
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(TreestarError, match=f"in use by another job, process {process.pid}"):
            evolve(job, out, resume=True, backends=scripted_backends())
        process.kill()
        process.wait()
        evolve(job, out, resume=True, backends=scripted_backends())  # a dead process holds nothing


def test_a_damaged_shard_is_named_and_made_again(job: Job, whole: dict[str, object], folder: Path) -> None:
    out = folder / "damaged"
    evolve(job, out, backends=scripted_backends())
    trees, selected = (out / "round-1" / name / "00000.parquet" for name in ("trees", "sft"))
    trees.write_bytes(trees.read_bytes()[:-100])
    selected.unlink()
    said = run_on(job, out)
    assert f"{trees} is damaged, and kept as _00000.parquet.damaged: its 20 rows are made again" in said
    assert f"{selected} is missing" in said
    assert "round 2 search" not in said  # complete parts are not made again
    assert content_of(out) == whole


def test_a_finished_job_does_nothing_again(job: Job, whole: dict[str, object], folder: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (folder / "whole").rglob("*.parquet")}
    said = run_on(job, folder / "whole")
    assert "round" not in said
    assert {file: file.stat().st_mtime_ns for file in (folder / "whole").rglob("*.parquet")} == before


def test_a_damaged_or_missing_report_is_written_again(job: Job, whole: dict[str, object], folder: Path) -> None:
    out = folder / "whole"
    report, text, picture = out / "round-1" / "report.json", out / "report.md", out / "progress.png"
    before = text.read_text()
    report.write_text("{")
    picture.unlink()
    assert "round" not in run_on(job, out)
    assert content_of(out) == whole
    assert text.read_text() == before
    assert picture.exists()


def test_a_full_disk_is_one_sentence_and_leaves_a_job_that_goes_on(
    job: Job, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Table.append

    def append_until_full(self: Table, row: Row) -> None:
        if self.schema.name == "trees" and len(self.keys) == 5:
            self.journal = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        append(self, row)

    monkeypatch.setattr(Table, "append", append_until_full)
    sentence = (
        r"trees cannot be written: the disk is full\. Finished work is not lost: free some space and continue "
        r"\(with --resume"
    )
    with pytest.raises(TreestarError, match=sentence):
        evolve(job, tmp_path, backends=scripted_backends())
    monkeypatch.undo()
    assert len((tmp_path / "round-1" / "trees" / "_journal.jsonl").read_text().splitlines()) == 5
    evolve(job, tmp_path, resume=True, backends=scripted_backends())
    assert content_of(tmp_path) == whole


def test_another_job_in_the_folder_is_refused_but_rounds_may_be_added(job: Job, folder: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    shorter = replace(job, rounds=job.rounds[:1])
    evolve(shorter, tmp_path, backends=scripted_backends())
    with pytest.raises(TreestarError, match="already contains a job: give --resume"):
        evolve(shorter, tmp_path, backends=scripted_backends())
    with pytest.raises(TreestarError, match=r"other settings \(selection\.trajectories, seed\)"):
        evolve(
            replace(job, seed=1, selection=replace(job.selection, trajectories=1)),
            tmp_path,
            resume=True,
            backends=scripted_backends(),
        )
    evolve(job, tmp_path, resume=True, backends=scripted_backends())
    assert (tmp_path / "round-2" / "report.json").exists()


def test_policies_of_two_step_formats_are_refused_before_anything_is_searched(job: Job, tmp_path: Path) -> None:
    """The steps of one are nothing that the other can learn to write."""
    formats = {"searching": BoundFormat(), "taught": RStarFormat()}
    backends = replace(scripted_backends(), step_format=lambda name, _: formats[name])
    mixed = replace(job, bootstrap="searching", base="taught")
    with pytest.raises(TreestarError, match="searching writes the step format bound, but what is trained from taught"):
        evolve(mixed, tmp_path, backends=backends)
    assert not (tmp_path / "job.yaml").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sft": SFTTrainingConfig(training_arguments={"optimm": "sgd"})}, "must not have optimm: trl.SFTConfig has"),
        ({"ppm_training_arguments": {"fsdpp": True}}, "must not have fsdpp: transformers.TrainingArguments has"),
        ({"ppm": PPMTrainingConfig(lora={"rank": 4})}, "unexpected keyword argument 'rank'"),
    ],
)
def test_what_a_training_will_not_accept_is_refused_before_anything_is_searched(
    job: Job, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TreestarError, match=sentence):
        evolve(replace(job, **changes), tmp_path, backends=scripted_backends())
    assert not (tmp_path / "job.yaml").exists()


def test_problems_that_are_not_there_leave_the_folder_to_a_corrected_job(job: Job, tmp_path: Path) -> None:
    out, problems = tmp_path / "out", tmp_path / "problems.jsonl"
    named = job_from_yaml(Job, re.sub(r"jsonl:\S*/problems\.jsonl", f"jsonl:{problems}", job_as_yaml(job)), "the job")
    for content, sentence in (
        (None, "No such file"),
        ("", "round 1 has no problems to search: 0 training problems"),
        ('{"question": "measured 1?"}\n', "left out 0 duplicates and 1 that are used for evaluation"),
    ):
        if content is not None:
            problems.write_text(content)
        with pytest.raises(TreestarError, match=sentence):
            evolve(named, out, backends=scripted_backends())
        assert not (out / "job.yaml").exists()
    evolve(replace(job, rounds=job.rounds[:1]), out, backends=scripted_backends())


def test_a_round_without_problems_is_refused_before_the_first_one_is_searched(job: Job, tmp_path: Path) -> None:
    [source] = job.problems.data
    of_first = replace(job, problems=replace(job.problems, data=(replace(source, to_round=1),)))
    with pytest.raises(TreestarError, match="round 2 has no problems to search"):
        evolve(of_first, tmp_path, backends=scripted_backends())
    assert not (tmp_path / "job.yaml").exists()


def test_a_round_whose_trajectories_all_have_no_copy_says_so(job: Job, tmp_path: Path) -> None:
    selection = replace(job.selection, copies=Copies(easy=0, medium=0, hard=0))
    with pytest.raises(TreestarError, match=r"none of its \d+ trajectories has a copy"):
        evolve(replace(job, selection=selection), tmp_path, backends=scripted_backends())


def test_a_round_that_solves_nothing_says_so(job: Job, tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "1", "question": "?", "answer": "none of these"}\n')
    text = re.sub(r"jsonl:\S*/problems\.jsonl", f"jsonl:{problems}", job_as_yaml(job))
    with pytest.raises(TreestarError, match="round 1 has no training data: none of its problems is solved"):
        evolve(job_from_yaml(Job, text, "the job"), tmp_path / "out", backends=scripted_backends())
