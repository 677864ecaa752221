"""A job in its folder: what all rounds share, the records of finished phases, and what is made again if it is lost.

A phase is done if it has a record and its tables are there. A model is done if it is in its folder; one that is missing
is trained again when it is needed, so models of earlier rounds can be deleted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from treestar.selfevolve.backends import Backends
from treestar.selfevolve.job import Job, load_as
from treestar.selfevolve.listener import EvolutionListener
from treestar.selfevolve.problems import TrainingProblems
from treestar.selfevolve.trainings import Kind, base_of, ppm_base_of, read_record, record_path, round_folder, train
from treestar.storage.files import noticing_full_disk, write_json, writing
from treestar.storage.table import MANIFEST, Row, Schema, Table
from treestar.types import Problem
from treestar.workers import Opening, RayConfig, Workers, open_workers

__all__ = ["Models", "Report", "RunningJob", "open_table", "recorded"]

Report = dict[str, Any]
TaskT = TypeVar("TaskT")


@dataclass(frozen=True)
class Models:
    """The models of a search."""

    policy: str
    """A name that `load_policy` accepts."""
    ppm: str | None
    """A name that `load_scorer` accepts; None without a PPM."""


@dataclass(frozen=True)
class RunningJob:
    """A job in its folder, with the data that all rounds share."""

    job: Job
    out: Path
    training: TrainingProblems
    measured: Mapping[str, Sequence[Problem]]
    """The evaluation problems, by cell."""
    concurrency: int
    backends: Backends
    ray: RayConfig | None
    """The cluster that searches; None for this process."""
    progress: EvolutionListener
    lock: int
    """The file descriptor of the folder's lock."""

    def folder(self, number: int) -> Path:
        return round_folder(self.out, number)

    def loaded(self, models: Models) -> tuple[str, str | None]:
        """The names by which policy and PPM are loaded, once they are there."""
        self.restore(models.policy, models.ppm)
        ppm = None if models.ppm is None else load_as(self.job, models.ppm, self.out)
        return load_as(self.job, models.policy, self.out), ppm

    def open_workers(self, opening: Opening[TaskT, Row]) -> AbstractAsyncContextManager[Workers[TaskT, Row]]:
        return open_workers(opening, self.concurrency, self.ray, self.progress.say)

    def train(self, kind: Kind, number: int) -> Report:
        """Train the policy or the PPM of round `number`, or continue that; returns the training's report."""
        self.restore(
            base_of(self.job, self.out, number) if kind == "policy" else ppm_base_of(self.job, self.out, number)
        )
        return dict(train(kind, self.job, self.out, number, self.backends, self.lock, self.progress.on_step))

    def restore(self, *models: str | None) -> None:
        """Train those of `models` again that this job trained and that are no longer in its folder."""
        for model in models:
            folder = Path(model or "")
            if not folder.is_relative_to(self.out) or (folder / "config.json").exists():
                continue
            self.progress.say(f"{folder} is missing or unfinished: it is trained again")
            kind: Kind = "policy" if folder.name == "policy" else "ppm"
            self.train(kind, int(folder.parent.name.removeprefix("round-")))

    def name_in_job(self, model: str | None) -> str | None:
        """A model's name in reports; a model trained by this job is named by its path in the job's folder."""
        own = model is not None and Path(model).is_relative_to(self.out)
        return os.path.relpath(model, self.out) if own and model is not None else model


def recorded(run: RunningJob, number: int, name: str, work: Callable[[], Report], spending: Table | None) -> Report:
    """Run `work` and record its result, unless it is already recorded.

    Args:
        spending: a table whose rows contain the cost of the phase, including earlier runs of the job.

    Returns:
        `report`: the result of `work`; `seconds` and `generated_tokens`: the cost of the phase.

    Raises:
        TreestarError: as `work` does, or the disk is full.
    """
    path = record_path(run.folder(number), name)
    before = read_record(path)
    if before is not None:
        return before
    place = f"round {number} {name}"
    run.progress.begin(place, None)
    started = time.perf_counter()
    with noticing_full_disk(run.out):
        report = work()
    seconds, tokens = time.perf_counter() - started, 0
    if spending is not None:
        spent = list(spending.rows(["wall_seconds", "generated_tokens"]))
        seconds = max(seconds, sum(row["wall_seconds"] for row in spent))
        tokens = sum(row["generated_tokens"] for row in spent)
    done = {"report": report, "seconds": seconds, "generated_tokens": tokens}
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, done)
    run.progress.on_phase(place, report, seconds)
    return done


def open_table(run: RunningJob, number: int, schema: Schema, phase: str) -> Table:
    """A table of a round; if it has lost rows, or is missing, the phase that makes it is done again."""
    folder, record = run.folder(number) / schema.name, record_path(run.folder(number), phase)
    done = read_record(record)
    table = Table(folder, schema, run.progress.say)
    # A finished table has a manifest, even without rows; an evaluation that measured nothing has none.
    is_lost = done is not None and done["report"] and not (folder / MANIFEST).exists()
    if is_lost:
        run.progress.say(f"{folder} is missing or empty: round {number} {phase} is done again")
    if table.damaged or is_lost:
        record.unlink(missing_ok=True)
    return table
