"""`treestar judge`: the data of a judge, and the whole way from problems to a judge in one job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from treestar.cli.components import Concurrency, IsolationLevel, PolicyName, StepFormatName
from treestar.cli.models import fetch_base
from treestar.cli.options import GroupedCommand, config_from_options, with_config_options
from treestar.cli.train import ResumeJob, ShowJob, folder_of, job_file, training_display
from treestar.cli.training_progress import TrainingDisplay
from treestar.components import ComponentsConfig
from treestar.judge.config import AnnotationConfig, SegmentationConfig
from treestar.policy.models import DEFAULT_POLICY
from treestar.sandbox import SandboxConfig
from treestar.types import Problem

__all__ = ["judge"]

judge = typer.Typer(
    help="Make the data of a judge of reasoning steps (StepWiser): cut right solutions into chunks (segment), label "
    "chunks by completions (annotate), or do all with one job file (run). `treestar train judge` trains one.",
    no_args_is_help=True,
)

ProblemNames = Annotated[
    list[str],
    typer.Argument(
        help="Training problems: jsonl:PATH, hf:NAME[:CONFIG]@SPLIT, or rg:FAMILY[:LEVEL] from reasoning-gym.",
        show_default=False,
    ),
]
CONTINUED = "to continue, run the same command"
"""What to do after Ctrl-C."""

Limit = Annotated[int, typer.Option(help="Maximum number of problems from each source.", min=1)]


@judge.command(cls=GroupedCommand, short_help="Cut a policy's right solutions into chunks.")
@with_config_options(SegmentationConfig, group="Sampling and segmentation", own_group="Data and output")
def segment(
    problems: ProblemNames,
    out: Annotated[Path, typer.Option(help="Folder for the data; a killed run continues there.")],
    policy: PolicyName = DEFAULT_POLICY,
    step_format: StepFormatName = None,
    segmenter: Annotated[
        str,
        typer.Option(help="`rules`, which needs no model, or the model that marks the chunks: a name as for --policy."),
    ] = "rules",
    limit: Limit = 1000,
    isolation: IsolationLevel = "full",
    concurrency: Concurrency = 16,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Cut a policy's right solutions into chunks, to teach it to write in chunks.

    `treestar train sft --rows OUT/chunked --step-format chunk` then trains it.
    """
    config = config_from_options(SegmentationConfig, "treestar judge segment", options)
    from treestar.reinforcement.judge_stages import segment_problems

    fetch_base(policy, segmenter)
    with training_display(out, CONTINUED) as display:
        found = segment_problems(
            named(problems, limit, config.seed, display),
            models(policy, step_format, isolation),
            segmenter,
            out,
            config,
            concurrency,
            display.on_row,
            display.say,
        )
        display.say(str(found))


@judge.command(cls=GroupedCommand, short_help="Label the chunks of solutions by completions.")
@with_config_options(AnnotationConfig, group="Sampling and labels", own_group="Data and output")
def annotate(
    problems: ProblemNames,
    out: Annotated[Path, typer.Option(help="Folder for the data; a killed run continues there.")],
    policy: PolicyName = DEFAULT_POLICY,
    step_format: StepFormatName = None,
    limit: Limit = 1000,
    isolation: IsolationLevel = "full",
    concurrency: Concurrency = 16,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Sample a policy's solutions and label their chunks by completions from the end of each.

    Run it again with another --rule to relabel the same chunks; nothing is sampled again.
    """
    config = config_from_options(AnnotationConfig, "treestar judge annotate", options)
    from treestar.reinforcement.judge_stages import annotate_problems

    fetch_base(policy)
    with training_display(out, CONTINUED) as display:
        found = annotate_problems(
            named(problems, limit, config.seed, display),
            models(policy, step_format, isolation),
            out,
            config,
            concurrency,
            display.on_row,
            display.say,
        )
        display.say(str(found))


@judge.command(cls=GroupedCommand)
def run(
    job: Annotated[
        Path | None,
        typer.Argument(help="A YAML file that describes the job (docs/guides/judge.md).", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all data, models and reports.")] = None,
    resume: ResumeJob = False,
    show: ShowJob = False,
    concurrency: Concurrency = 16,
) -> None:
    """Segment, annotate and train in one job.

    Once the chunks are labeled, start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    from treestar.reinforcement.judge_job import load_judge_job

    chosen = load_judge_job(job_file(job, out, resume))
    folder = folder_of(chosen, out, show)
    from treestar.reinforcement.judge_run import run_judge_job
    from treestar.training.judge.train import Listener

    fetch_base(chosen.policy, *([] if chosen.base is None else [chosen.base]))
    with training_display(folder, f"{CONTINUED} with --resume") as display:
        listener = Listener(display.say, display.on_progress, display.on_reinforcement, display.on_row)
        run_judge_job(chosen, folder, resume=resume, concurrency=concurrency, listener=listener)


def named(names: list[str], limit: int, seed: int, display: TrainingDisplay) -> list[Problem]:
    """The training problems with these names. Raises TreestarError."""
    from treestar.selfevolve.problems import sources_named, training_problems

    found = training_problems(sources_named(names, limit), seed, (), kinds=("math", "code", "qa"))
    display.say(str(found))
    return found.of_round(1)


def models(policy: str, step_format: StepFormatName, isolation: IsolationLevel) -> ComponentsConfig:
    return ComponentsConfig(policy=policy, step_format=step_format, executor=SandboxConfig(isolation=isolation))
