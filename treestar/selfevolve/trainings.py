"""The two trainings of a round, on the tables in its folder: in this process, or in those that a launcher starts.

`python -m treestar.selfevolve.trainings OUT ROUND policy|ppm` is what a launcher starts.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from treestar.search import Tree
from treestar.selfevolve.backends import Backends, local_backends
from treestar.selfevolve.job import Job, begun_job
from treestar.selfevolve.search_phase import TREES, trees_of
from treestar.selfevolve.selection import SFT, sft_rows
from treestar.storage.files import read_json
from treestar.storage.table import Table
from treestar.training.run import TrainingProgress
from treestar.types import TreestarError

__all__ = ["Kind", "base_of", "policy_of", "round_folder", "train"]

Kind = Literal["policy", "ppm"]

OnProgress = Callable[[TrainingProgress], None]


def train(kind: Kind, job: Job, out: Path, number: int, backends: Backends, lock: int, say: OnProgress) -> Any:
    """Train the policy or the PPM of round `number`, or go on with that; returns its report.

    Args:
        lock: the descriptor that holds the job's folder. Processes that are started hold it too, so that nobody goes on
            with the job while they live.
        say: told after every step of a training in this process.

    Raises:
        TreestarError: there is nothing to train on, or training failed.
    """
    folder = round_folder(out, number) / kind
    if not (folder / "config.json").exists():
        if job.launcher:
            launch(kind, job.launcher, out, number, lock)
        else:
            train_here(kind, job, out, number, backends, say)
    return read_json(folder / "training.json")


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


def launch(kind: Kind, launcher: str, out: Path, number: int, lock: int) -> None:
    command = [*shlex.split(launcher), "-m", __spec__.name, str(out), str(number), kind]
    try:
        code = subprocess.run(command, pass_fds=[lock]).returncode
    except OSError as error:
        raise TreestarError(f"the job's launcher {launcher!r} cannot be started: {error.strerror}") from error
    if code != 0:
        raise TreestarError(f"the training that {shlex.join(command)} started has failed with exit code {code}")


def round_folder(out: Path, number: int) -> Path:
    return out / f"round-{number}"


def policy_of(job: Job, out: Path, number: int) -> str:
    """The policy that round `number` trains; that of round 0 is the bootstrap policy."""
    return job.bootstrap if number == 0 or job.sft is None else str(round_folder(out, number) / "policy")


def base_of(job: Job, out: Path, number: int) -> str:
    """The checkpoint that round `number` fine-tunes."""
    return policy_of(job, out, number - 1) if job.continue_policy else job.base


def ppm_base_of(job: Job, out: Path, number: int) -> str:
    """What the PPM of round `number` starts from: that round's policy, or the latest PPM before."""
    before = [round_folder(out, each) / "ppm" for each in range(number - 1, 0, -1)] if job.continue_ppm else []
    trained = (str(folder) for folder in before if (folder / "config.json").exists())
    return next(trained, policy_of(job, out, number))


def latest_trees(job: Job, out: Path, number: int) -> Iterator[Tree]:
    """The trees of as many rounds as a PPM learns from, round `number` the last."""
    for each in range(max(1, number - job.ppm_rounds + 1), number + 1):
        with Table(round_folder(out, each) / TREES.name, TREES) as trees:
            yield from trees_of(trees)


def main() -> None:
    """One of the processes that a launcher started."""
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
