"""Runs a GRPO job in a folder.

OUT/job.yaml                    the job with all its fields
OUT/checkpoint-N/               the newest checkpoint, while the training runs
OUT/evaluations/step-N.json     the outcome on every held-out problem
OUT/report.md, curve.png        written again after every evaluation
OUT/config.json, ...            the trained policy, an ordinary checkpoint
OUT/training.json               settings, counts, and the log of all figures
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from treestar.config.job_files import job_as_yaml, job_from_file
from treestar.config.values import config_to_values
from treestar.reinforcement.job import JOB, GRPOJob
from treestar.reinforcement.report import write_report
from treestar.selfevolve.problems import evaluation_problems, training_problems
from treestar.storage.files import write_text, writing
from treestar.storage.settings import check_same_settings
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.grpo.train import train_grpo
from treestar.training.run import is_main_process
from treestar.types import TreestarError

__all__ = ["begin", "run_grpo_job"]


def run_grpo_job(
    job: GRPOJob,
    out: str | Path,
    *,
    resume: bool = False,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[GRPOProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a job in the folder `out`.

    The process can be killed at any time: with `resume` the job continues from its last checkpoint, and gives the curve
    of an uninterrupted run, as far as the model's arithmetic does not depend on the rest of a batch.

    Args:
        resume: continue the job in `out`, if any. It must be this job.
        say: called with a sentence about the problems, in the main process.
        on_progress: called with the figures of every step and evaluation, in the main process.

    Returns:
        The content of `training.json`, as `train_grpo` returns it.

    Raises:
        TreestarError: `out` contains another job or cannot be written, a source of problems or the policy cannot be
            loaded, or the training failed.
    """
    out = Path(out).resolve()
    if is_main_process():
        begin(job, out, resume)
    held_out = evaluation_problems(job.evaluation)
    measured = [problem for each in held_out.values() for problem in each]
    found = training_problems(job.problems, job.training.seed, measured, kinds=("math", "code"))
    if is_main_process():
        say(f"{found}; {len(measured):,} to measure with")

    def report(progress: GRPOProgress) -> None:
        on_progress(progress)
        if "eval_greedy" in progress.figures:
            with writing(out):
                write_report(progress.log, out)

    result = train_grpo(
        found.of_round(1),
        job.policy,
        out,
        job.training,
        held_out=held_out,
        evaluate_every=job.evaluation.every if job.evaluation else 1,
        evaluation_samples=job.evaluation.samples if job.evaluation else 0,
        resume=resume,
        on_progress=report,
    )
    if is_main_process():
        with writing(out):
            write_report(result["log"], out)
    return result


def begin(job: object, out: Path, resume: bool) -> None:
    """Write the job into its folder, or check that the existing one is the same.

    Raises:
        TreestarError: the folder contains a job and `resume` is false, contains another job, or cannot be written.
    """
    path = out / JOB
    if path.exists():
        if not resume:
            raise TreestarError(f"{out} already contains a job: give --resume to continue it, or another folder")
        before, now = config_to_values(job_from_file(type(job), path)), config_to_values(job)
        check_same_settings(out, before, now, f"use the same settings (--resume without a job takes {path})")
    with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, job_as_yaml(job))
