"""Trains the two models of a round on the tables in its folder: in this process, or in processes started by a launcher.

A launcher starts `python -m treestar.selfevolve.trainings OUT ROUND policy|ppm`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from treestar.search import Tree
from treestar.selfevolve.backends import Backends, local_backends
from treestar.selfevolve.job import Job, begun_job
from treestar.selfevolve.search_phase import trees_of
from treestar.selfevolve.selection import SFT, sft_rows
from treestar.storage.files import read_object
from treestar.storage.table import Table
from treestar.training.launch import launch
from treestar.training.run import TrainingProgress, finished_report
from treestar.types import TreestarError

__all__ = ["Kind", "base_of", "policy_of", "ppm_base_of", "read_record", "record_path", "round_folder", "train"]

Kind = Literal["policy", "ppm"]

OnProgress = Callable[[TrainingProgress], None]


def train(kind: Kind, job: Job, out: Path, number: int, backends: Backends, lock: int, say: OnProgress) -> Any:
    """Train the policy or the PPM of round `number`, or continue its training; returns its report.

    Args:
        lock: the file descriptor of the job folder's lock. Started processes inherit it, so that the job cannot be
            resumed elsewhere while they run.
        say: called after every training step in this process.

    Raises:
        TreestarError: training data is missing, or training failed.
    """
    folder = round_folder(out, number) / kind
    if not (folder / "config.json").exists():
        if job.launcher:
            launch(job.launcher, __spec__.name, [str(out), str(number), kind], held=[lock])
        else:
            train_here(kind, job, out, number, backends, say)
    return finished_report(folder)


def train_here(kind: Kind, job: Job, out: Path, number: int, backends: Backends, say: OnProgress) -> None:
    folder = round_folder(out, number) / kind
    if kind == "policy":
        with Table(round_folder(out, number) / SFT.name, SFT) as table:
            rows = sft_rows(table.rows())
        backends.train_policy(rows, base_of(job, out, number), folder, job.sft, resume=True, on_progress=say)
    else:
        backends.train_ppm(
            latest_trees(job, out, number),
            ppm_base_of(job, out, number),
            folder,
            job.ppm,
            resume=True,
            training_arguments=job.ppm_training_arguments,
            on_progress=say,
        )


def round_folder(out: Path, number: int) -> Path:
    return out / f"round-{number}"


def policy_of(job: Job, out: Path, number: int) -> str:
    """The policy that round `number` trains; that of round 0 is the bootstrap policy."""
    return job.bootstrap if number == 0 or job.sft is None else str(round_folder(out, number) / "policy")


def base_of(job: Job, out: Path, number: int) -> str:
    """The checkpoint that round `number` fine-tunes."""
    return policy_of(job, out, number - 1) if job.continue_policy else job.base


def ppm_base_of(job: Job, out: Path, number: int) -> str:
    """The initial checkpoint of the PPM of round `number`: that round's policy, or the latest PPM of earlier rounds,
    even if that is missing now."""
    for each in range(number - 1, 0, -1) if job.continue_ppm else ():
        done = read_record(record_path(round_folder(out, each), "ppm"))
        if done is not None and "skipped" not in done["report"]:
            return str(round_folder(out, each) / "ppm")
    return policy_of(job, out, number)


def record_path(folder: Path, phase: str) -> Path:
    return folder / "phases" / f"{phase}.json"


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a finished phase; None without one, or where it is damaged."""
    done = read_object(path) or {}
    return done if {"report", "seconds", "generated_tokens"} <= done.keys() else None


def latest_trees(job: Job, out: Path, number: int) -> Iterator[Tree]:
    """The trees of the rounds that a PPM is trained on; round `number` is the last of them."""
    for each in range(max(1, number - job.ppm_rounds + 1), number + 1):
        yield from trees_of(round_folder(out, each))


def main() -> None:
    """Train as one of the processes started by a launcher."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    out, number, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    assert kind in ("policy", "ppm")
    try:
        train_here(kind, begun_job(out), out, number, local_backends(), lambda _: None)  # type: ignore[arg-type]
    except TreestarError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
