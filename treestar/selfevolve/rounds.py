"""Self-evolution: rounds, each with a better policy and a better PPM, on harder problems (rStar-Math, section 3.4).

    round 1   terminal-guided search with the bootstrap policy         -> policy-r1, PPM-r1 (not reliable yet)
    round 2   terminal-guided search with policy-r1                    -> policy-r2, PPM-r2 (reliable)
    round 3   PPM-augmented search with policy-r2 and PPM-r2           -> policy-r3, PPM-r3
    round 4   PPM-augmented; 64, then 128 rollouts if unsolved         -> policy-r4, PPM-r4

`run_round` runs one round; the differences between rounds are data (`job.RoundConfig`). The folder of a job:

    OUT/job.yaml                 the job with all its fields
    OUT/round-K/trees/, sft/, pairs/, evaluation/   tables as Parquet (`storage/table.py`)
    OUT/round-K/policy/, ppm/    models as Hugging Face folders
    OUT/round-K/phases/*.json    the result of each phase; a phase with a file is done
    OUT/round-K/report.json      all results of the round; round 0 is the bootstrap policy, which is only evaluated
    OUT/report.md, progress.png
"""

from __future__ import annotations

from pathlib import Path

from treestar.policy.formats import same_steps
from treestar.selfevolve.backends import Backends, local_backends
from treestar.selfevolve.job import Job
from treestar.selfevolve.job_folder import JOB, begin_job, check_begun
from treestar.selfevolve.listener import EvolutionListener
from treestar.selfevolve.phases import Round, measure_bootstrap, write_job_report
from treestar.selfevolve.problems import evaluation_problems, training_problems
from treestar.selfevolve.running import Models, RunningJob
from treestar.selfevolve.trainings import base_of
from treestar.storage.files import locked
from treestar.training.accepted import check_accepted
from treestar.types import TreestarError
from treestar.workers import RayConfig

__all__ = ["evolve"]


def evolve(
    job: Job,
    out: str | Path,
    *,
    resume: bool = False,
    concurrency: int = 64,
    ray: RayConfig | None = None,
    backends: Backends | None = None,
    progress: EvolutionListener | None = None,
) -> None:
    """Run a job's rounds in the folder `out`.

    The process can be killed at any time: with `resume` the job continues, and ends with the data of an uninterrupted
    run, as far as the models' arithmetic does not depend on the rest of a batch.

    Args:
        resume: continue the job in `out`, if any. It must be this job, possibly with more rounds.
        concurrency: maximum number of problems at the same time; on a cluster, per actor.
        ray: search on this cluster, whose nodes must all have `out` at the same path; in this process if None. Data,
            training and reports stay in this process.
        backends: loads and trains the models; the local backends if None.
        progress: receives progress events, if given.

    Raises:
        TreestarError: `out` contains another job, is in use, or cannot be written; a source of problems or a model
            cannot be loaded; the policies' step formats differ; a round solved nothing.
    """
    out = Path(out).resolve()
    progress = progress or EvolutionListener()
    backends = backends or local_backends(job.bootstrap, job.step_format)
    with locked(out) as lock:
        if not (out / JOB).exists():
            check_empty(out)
            check_formats(job, out, backends)
            check_trainings(job)
        check_begun(job, out, resume, can_grow="rounds")
        measured = evaluation_problems(job.evaluation)
        training = training_problems(
            job.problems, job.seed, [problem for each in measured.values() for problem in each]
        )
        for number in range(1, len(job.rounds) + 1):
            if not training.of_round(number):
                raise TreestarError(f"round {number} has no problems to search: {training}")
        begin_job(job, out)
        progress.say(str(training))
        run = RunningJob(job, out, training, measured, concurrency, backends, ray, progress, lock)
        measure_bootstrap(run)
        models = Models(policy=job.bootstrap, ppm=None)
        for number in range(1, len(job.rounds) + 1):
            models = run_round(run, number, models)
            write_job_report(run)
        run.restore(models.policy, models.ppm)


def run_round(run: RunningJob, number: int, models: Models) -> Models:
    """Search with `models`, select the training data, train a policy and a PPM on it, and evaluate both."""
    with Round(run, number, models) as round_:
        round_.phase("search", round_.search, round_.trees)
        round_.phase("selection", round_.select)
        round_.phase("sft", round_.train_policy)
        round_.phase("ppm", round_.train_ppm)
        round_.phase("evaluation", round_.evaluate, round_.measured)
        round_.write_report()
        return round_.trained


def check_empty(out: Path) -> None:
    """Raise TreestarError if `out` has rounds, but not the job that they are of."""
    if any(out.glob("round-*/phases")):
        raise TreestarError(
            f"{out} has the rounds of a job, but {JOB}, which says of which, is missing: put it back, or give another "
            "folder"
        )


def check_formats(job: Job, out: Path, backends: Backends) -> None:
    """Raise TreestarError if the bootstrap policy searches in another step format than the one that is trained."""
    base = base_of(job, out, 1)
    taught = None if job.sft is None else job.sft.step_format
    if job.sft is None or (base, taught) == (job.bootstrap, job.step_format):
        return
    searched, trained = backends.step_format(job.bootstrap, job.step_format), backends.step_format(base, taught)
    if not same_steps(searched.name, trained.name):
        raise TreestarError(
            f"the bootstrap policy {job.bootstrap} writes the step format {searched.name}, but what is trained from "
            f"{base} would learn to write {trained.name}: set sft.step_format to {searched.name}, or give another base"
        )


def check_trainings(job: Job) -> None:
    """Raise TreestarError if the libraries that train would not accept what the job gives them."""
    if job.sft is not None:
        check_accepted("sft", "sft.training_arguments", job.sft.training_arguments, job.sft.lora)
    if job.ppm is not None:
        check_accepted("ppm", "ppm_training_arguments", job.ppm_training_arguments, job.ppm.lora)
