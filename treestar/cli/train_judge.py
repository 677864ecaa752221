"""`treestar train judge`: train a judge on labeled chunks."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from treestar.cli.models import fetch_base
from treestar.cli.options import MODELS, config_from_options, with_config_options
from treestar.cli.train import ResumeOption, training_display
from treestar.policy.models import DEFAULT_POLICY
from treestar.training.judge.config import JudgeTrainingConfig

__all__ = ["judge"]


@with_config_options(JudgeTrainingConfig, without=("grpo", "sft"), group="Training", own_group="Data and output")
def judge(
    chunks: Annotated[list[Path], typer.Argument(help="Folders written by `treestar judge annotate`.")],
    out: Annotated[Path, typer.Option(help="Folder for the judge and training.json.")],
    base: Annotated[
        str,
        typer.Option(
            help=f"The model to train: `{DEFAULT_POLICY}`, a model folder, a GGUF file, or a hub id.",
            rich_help_panel=MODELS,
        ),
    ] = DEFAULT_POLICY,
    analyses: Annotated[
        Path | None,
        typer.Option(
            help="A JSON Lines file with analyses to learn first (`problem_id`, `solution`, `chunk`, `reply`), for a "
            "base that cannot follow the form of a judgment."
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(help="A YAML file with more fields of the training, such as `grpo: {steps: 100}` and `sft: {}`."),
    ] = None,
    resume: ResumeOption = False,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Train a judge that reasons about a chunk and rules on it (StepWiser), or one of its baselines.

    Start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    config = with_settings(settings, options)
    from treestar.reinforcement.judge_run import train_with_report
    from treestar.training.judge.data import read_analyses, read_examples
    from treestar.training.judge.train import Listener, train_judge

    fetch_base(base)
    with training_display(out) as display:
        listener = Listener(display.say, display.on_progress, display.on_reinforcement)
        known = None if analyses is None else read_analyses(analyses)
        examples = read_examples(chunks, config.labels)
        report = train_with_report(
            lambda told: train_judge(examples, base, out, config, analyses=known, resume=resume, listener=told),
            out,
            listener,
        )
        display.on_report(report)


def with_settings(path: Path | None, options: dict[str, Any]) -> JudgeTrainingConfig:
    """The training in a YAML file, if there is one; options come before its fields.

    Raises:
        typer.BadParameter: an option's value is not allowed.
        TreestarError: the file cannot be read or is not a training; the message names the field.
    """
    from treestar.config.job_files import job_from_file

    read = JudgeTrainingConfig() if path is None else job_from_file(JudgeTrainingConfig, path)
    values = {each.name: getattr(read, each.name) for each in fields(read)}
    return config_from_options(JudgeTrainingConfig, "treestar train judge", {**values, **options})
