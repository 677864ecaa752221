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

from treestar.policy.load import read_step_format
from treestar.reinforcement.job import GRPOJob
from treestar.reinforcement.report import reporting, write_report
from treestar.selfevolve.job_folder import begin_job, check_begun
from treestar.selfevolve.problems import evaluation_problems, training_problems
from treestar.training.accepted import check_accepted
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.grpo.train import check_extends_prompt, train_grpo
from treestar.training.grpo.vllm import check_vllm
from treestar.training.run import is_main_process

__all__ = ["run_grpo_job"]


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
        TreestarError: the training arguments are not those of TRL, `out` contains another job or cannot be written, a
            source of problems or the policy cannot be loaded, or the training failed.
    """
    out, training = Path(out).resolve(), job.training
    check_accepted("grpo", "training.training_arguments", training.training_arguments, training.lora)
    check_vllm(training)
    if is_main_process():
        check_begun(job, out, resume)
    check_extends_prompt(read_step_format(job.policy, training.step_format))
    held_out = evaluation_problems(job.evaluation)
    measured = [problem for each in held_out.values() for problem in each]
    found = training_problems(job.problems, training.seed, measured, kinds=("math", "code", "qa"))
    if is_main_process():
        begin_job(job, out)
        say(f"{found}; {len(measured):,} to measure with")

    result = train_grpo(
        found.of_round(1),
        job.policy,
        out,
        training,
        held_out=held_out,
        evaluate_every=job.evaluation.every if job.evaluation else 1,
        evaluation_samples=job.evaluation.samples if job.evaluation else 0,
        resume=resume,
        on_progress=reporting(out, on_progress),
    )
    if is_main_process():
        write_report(result["log"], out)
    return result
