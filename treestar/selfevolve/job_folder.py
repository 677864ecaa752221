"""The folder of a job, of self-evolution or of reinforcement: it says which job it is."""

from __future__ import annotations

from pathlib import Path

from treestar.config.job_files import job_as_yaml, job_from_file
from treestar.config.renamed import silently
from treestar.config.values import config_to_values
from treestar.storage.files import write_text, writing
from treestar.storage.settings import check_same_settings
from treestar.types import TreestarError

__all__ = ["JOB", "begin_job"]

JOB = "job.yaml"
"""The file of a job in its folder."""


def begin_job(job: object, out: Path, resume: bool, can_grow: str = "") -> None:
    """Write the job into its folder, or check that the existing one is the same.

    Args:
        can_grow: the name of a list in the job that may be longer now.

    Raises:
        TreestarError: the folder contains a job and `resume` is false, contains another job, or cannot be written.
    """
    path = out / JOB
    if path.exists():
        if not resume:
            raise TreestarError(f"{out} already contains a job: give --resume to continue it, or another folder")
        before, now = config_to_values(job_from_file(type(job), path, silently)), config_to_values(job)
        if can_grow:
            now[can_grow] = now[can_grow][: len(before[can_grow])]
        check_same_settings(out, before, now, f"use the same settings (--resume without a job takes {path})")
    with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, job_as_yaml(job))
