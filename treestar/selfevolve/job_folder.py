"""The folder of a job, of self-evolution or of reinforcement: it says which job it is."""

from __future__ import annotations

from pathlib import Path

from treestar.config.job_files import job_as_yaml, job_from_file
from treestar.config.renamed import silently
from treestar.config.values import config_to_values
from treestar.storage.files import write_text, writing
from treestar.storage.settings import check_same_settings
from treestar.types import TreestarError

__all__ = ["JOB", "begin_job", "check_begun"]

JOB = "job.yaml"
"""The file of a job in its folder."""


def check_begun(job: object, out: Path, resume: bool, can_grow: str = "") -> None:
    """Check that no other job has begun in the folder `out`.

    Args:
        can_grow: the name of a list in the job that may be longer now.

    Raises:
        TreestarError: the folder contains a job and `resume` is false, or contains another job.
    """
    path = out / JOB
    if not path.exists():
        return
    if not resume:
        raise TreestarError(f"{out} already contains a job: give --resume to continue it, or another folder")
    before, now = config_to_values(job_from_file(type(job), path, silently)), config_to_values(job)
    if can_grow:
        now[can_grow] = now[can_grow][: len(before[can_grow])]
    check_same_settings(out, before, now, f"use the same settings (--resume without a job takes {path})")


def begin_job(job: object, out: Path) -> None:
    """Write the job into its folder: from now on the folder is for this job alone, so what the job names must have been
    found before. Raises TreestarError if the folder cannot be written."""
    path = out / JOB
    with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, job_as_yaml(job))
