"""Runs a judge's job in a folder.

OUT/job.yaml         the job with all its fields
OUT/segmentation/    the policy's right solutions in chunks
OUT/policy/          the policy, taught to write in chunks
OUT/annotation/      labeled chunks
OUT/judge/           the judge, with its training.json and, after reinforcement, report.md
OUT/report.json      what each stage has found
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from treestar.components import ComponentsConfig
from treestar.judge.annotate import CHUNKS, Annotated
from treestar.judge.responses import RESPONSES
from treestar.judge.segment import CHUNKED, Segmented
from treestar.policy.load import read_step_format
from treestar.reinforcement.judge_job import JudgeJob
from treestar.reinforcement.judge_stages import annotate_problems, segment_problems
from treestar.reinforcement.report import reporting, write_report
from treestar.selfevolve.job_folder import begin_job, check_begun
from treestar.selfevolve.problems import training_problems
from treestar.selfevolve.selection import read_sft_rows
from treestar.storage.files import locked, read_object, write_json, writing
from treestar.storage.table import is_whole
from treestar.training.accepted import check_accepted
from treestar.training.grpo.vllm import check_vllm
from treestar.training.judge.data import read_analyses, read_examples
from treestar.training.judge.train import Listener, train_judge
from treestar.training.run import finished_report, is_main_process, process_count
from treestar.training.sft.train import train_policy
from treestar.types import Problem, TreestarError

__all__ = ["run_judge_job", "train_with_report"]

STAGES = "report.json"
"""The file with what each finished stage has found."""

TABLES = {"segmentation": (RESPONSES, CHUNKED), "annotation": (RESPONSES, CHUNKS)}
"""The data of a stage. The others leave a model."""


def run_judge_job(
    job: JudgeJob,
    out: str | Path,
    *,
    resume: bool = False,
    concurrency: int = 16,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Run a job in the folder `out`: segment, annotate, train.

    The process can be killed at any time: with `resume` the job continues, and makes the same data, as far as the
    models' arithmetic does not depend on the rest of a batch.

    Args:
        resume: continue the job in `out`, if any. It must be this job.
        concurrency: maximum number of problems at the same time.

    Returns:
        What each stage has found, as in OUT/report.json.

    Raises:
        TreestarError: `out` contains another job, is in use or cannot be written, a source of problems or a model
            cannot be loaded, or a stage failed.
    """
    out, listener = Path(out).resolve(), listener or Listener()
    check_trainings(job)
    alone = process_count() == 1
    with locked(out) if alone else nullcontext():
        if is_main_process():
            check_begun(job, out, resume)
        found = finished_stages(out, listener)
        has_data = "annotation" in found and (job.segmentation is None or "segmentation" in found)
        if not alone and not has_data:
            raise TreestarError(
                f"{out} does not have all its data: run the job in one process until its training begins, then start "
                "it with several and --resume"
            )
        problems = [] if has_data else problems_of(job, listener)
        if is_main_process():
            begin_job(job, out)
        return run_stages(job, problems, found, out, concurrency, listener)


def check_trainings(job: JudgeJob) -> None:
    """Raise TreestarError if the libraries that train are missing, or would not accept what the job gives them."""
    if job.segmentation is not None:
        first = job.segmentation.training
        check_accepted("sft", "segmentation.training.training_arguments", first.training_arguments, first.lora)
    sft, grpo = job.training.sft, job.training.grpo
    check_accepted("sft", "training.sft.training_arguments", sft.training_arguments, sft.lora)
    check_accepted("grpo", "training.grpo.training_arguments", grpo.training_arguments, grpo.lora)
    check_vllm(grpo)


def finished_stages(out: Path, listener: Listener) -> dict[str, Any]:
    """What each finished stage has found; one whose data or model is no longer there is done again. Without the file,
    or where it is damaged, no stage is known to be finished: then each finds its own data and model again."""
    found = read_object(out / STAGES) or {}
    for name in [name for name in found if not is_there(out, name)]:
        listener.say(f"{out / name} is missing or damaged: this stage is done again")
        del found[name]
    return found


def is_there(out: Path, stage: str) -> bool:
    """Whether a stage's data or model is whole."""
    if stage not in TABLES:
        return (out / stage / "config.json").exists()
    return all(is_whole(out / stage / table.name) for table in TABLES[stage])


def problems_of(job: JudgeJob, listener: Listener) -> list[Problem]:
    """The problems to sample solutions of. Raises TreestarError if their policy or they cannot be found."""
    read_step_format(job.policy, job.step_format)
    sources = training_problems(job.problems, job.annotation.seed, (), kinds=("math", "code", "qa"))
    listener.say(f"{sources}")
    return sources.of_round(1)


def run_stages(
    job: JudgeJob,
    problems: Sequence[Problem],
    found: dict[str, Any],
    out: Path,
    concurrency: int,
    listener: Listener,
) -> dict[str, Any]:
    """Do the stages that are not in `found`, and add what they find."""

    def stage(name: str, work: Callable[[], dict[str, Any]]) -> None:
        if name in found:
            return
        found[name] = work()
        if is_main_process():
            with writing(out):
                write_json(out / STAGES, found)

    def data_stage(name: str, make: Callable[[Path], Segmented | Annotated]) -> None:
        def work() -> dict[str, Any]:
            data = make(out / name)
            listener.say(f"{name}: {data}")
            return data.to_json()

        stage(name, work)

    policy = ComponentsConfig(policy=job.policy, step_format=job.step_format)
    further = concurrency, listener.on_row, listener.say
    if (first := job.segmentation) is not None:
        data_stage(
            "segmentation",
            lambda folder: segment_problems(problems, policy, first.segmenter, folder, first.alone(), *further),
        )
        stage("policy", lambda: policy_stage(job, out, listener))
        policy = ComponentsConfig(policy=str(out / "policy"))
    data_stage("annotation", lambda folder: annotate_problems(problems, policy, folder, job.annotation, *further))
    stage("judge", lambda: judge_stage(job, job.base or str(policy.policy), out, listener))
    return found


def policy_stage(job: JudgeJob, out: Path, listener: Listener) -> dict[str, Any]:
    """Teach the policy to write in chunks."""
    assert job.segmentation is not None
    folder = out / "policy"
    if (folder / "config.json").exists():  # killed after the model was written
        return trained(finished_report(folder))
    rows = sorted(read_sft_rows(out / "segmentation" / "chunked"), key=lambda row: row.problem_id)
    config = replace(job.segmentation.training, step_format="chunk")
    report = train_policy(
        rows,
        job.policy,
        folder,
        config,
        resume=True,
        on_data=lambda data: listener.say(str(data)),
        on_progress=listener.on_fine_tuning,
    )
    return trained(report)


def judge_stage(job: JudgeJob, base: str, out: Path, listener: Listener) -> dict[str, Any]:
    folder = out / "judge"
    if (folder / "config.json").exists():  # killed after the judge was written
        return trained(finished_report(folder))
    analyses = None if job.analyses is None else read_analyses(Path(job.analyses).expanduser())
    examples = read_examples([out / "annotation"], job.training.labels)
    report = train_with_report(
        lambda told: train_judge(examples, base, folder, job.training, analyses=analyses, resume=True, listener=told),
        folder,
        listener,
    )
    return trained(report)


def train_with_report(
    training: Callable[[Listener], dict[str, Any]], folder: Path, listener: Listener
) -> dict[str, Any]:
    """Train, and after every evaluation of a reinforcement write report.md and curve.png into `folder`."""
    found = training(replace(listener, on_reinforcement=reporting(folder, listener.on_reinforcement)))
    if "log" in found and any("eval_greedy" in entry for entry in found["log"]) and is_main_process():
        write_report(found["log"], folder)
    return found


def trained(report: dict[str, Any]) -> dict[str, Any]:
    """What a job's report says about a training; the rest is in its training.json."""
    return {name: report.get(name) for name in ("steps", "tokens", "data")}
