"""`treestar train`: fine-tune a policy, reinforce one, train a process preference model, or a difficulty model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from treestar.cli.components import TREES_HELP, TreesOption, read_all
from treestar.cli.models import fetch_base
from treestar.cli.options import MODELS, GroupedCommand, config_from_options, with_config_options
from treestar.cli.progress import quiet_transformers, resumable
from treestar.cli.training_progress import TrainingDisplay
from treestar.policy.models import DEFAULT_POLICY
from treestar.training import PPMTrainingConfig, SFTRow, SFTTrainingConfig
from treestar.training.run import is_main_process
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.training.ppm.data import TrainingData

__all__ = [
    "ResumeJob",
    "ResumeOption",
    "SFTArguments",
    "ShowJob",
    "difficulty",
    "folder_of",
    "job_file",
    "lora_and_arguments",
    "ppm",
    "train",
    "training_display",
]

SKIPPED_NAMED = 10
"""Maximum number of skipped trees to list; training.json lists all."""

train = typer.Typer(
    help="Train a policy from search trees (sft), from rewards (grpo) or from a teacher's retrieval steps (steper), a "
    "judge of steps from labeled chunks (judge), a process preference model from search trees (ppm), or a difficulty "
    "model from samples.",
    no_args_is_help=True,
)

ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in --out.")]
ResumeJob = Annotated[
    bool, typer.Option("--resume", help="Continue the job in --out; the job file can then be left out.")
]
ShowJob = Annotated[bool, typer.Option("--show", help="Print the job with all its fields, and exit.")]
SFTArguments = Annotated[
    Path | None,
    typer.Option(
        help="YAML or JSON file with more fields of trl.SFTConfig, such as fsdp; its field `lora` holds fields of "
        "peft.LoraConfig."
    ),
]


@train.command(cls=GroupedCommand, short_help="Fine-tune a policy on correct trajectories.")
@with_config_options(
    SFTTrainingConfig, without=("lora", "training_arguments"), group="Training", own_group="Data and output"
)
def sft(
    out: Annotated[Path, typer.Option(help="Folder for the policy and training.json.")],
    trees: Annotated[list[Path] | None, typer.Option(help=f"{TREES_HELP} Needed unless --rows is given.")] = None,
    rows: Annotated[
        list[Path] | None,
        typer.Option(
            help="Training rows selected by `treestar evolve`: OUT/round-K/sft, or a Parquet file in it; can be "
            "repeated."
        ),
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            help=f"The policy to fine-tune: `{DEFAULT_POLICY}`, a model folder, a GGUF file, or a hub id.",
            rich_help_panel=MODELS,
        ),
    ] = DEFAULT_POLICY,
    trajectories: Annotated[
        int,
        typer.Option(
            help="Maximum number of trajectories per problem in --trees: the correct ones with the highest mean Q and "
            "different programs.",
            min=1,
        ),
    ] = 2,
    resume: ResumeOption = False,
    training_arguments: SFTArguments = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Fine-tune a policy on correct trajectories, from trees searched with --gold or from --rows.

    Start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    if not trees and not rows:
        raise typer.BadParameter("give --trees, --rows, or both")
    config = config_from_options(
        SFTTrainingConfig, "treestar train sft", options | lora_and_arguments(training_arguments)
    )
    from treestar.selfevolve.selection import read_sft_rows
    from treestar.training import train_policy

    fetch_base(base)
    with training_display(out) as display:
        stored = [row for path in rows or () for row in read_sft_rows(path)]
        report = train_policy(
            [*stored, *rows_of_trees(trees or (), trajectories, display)],
            base,
            out,
            config,
            resume=resume,
            on_data=lambda data: display.say(str(data)),
            on_progress=display.on_progress,
        )
        display.on_report(report)


@train.command(cls=GroupedCommand, short_help="Train a process preference model (PPM) on preference pairs.")
@with_config_options(PPMTrainingConfig, without=("lora",), group="Training", own_group="Data and output")
def ppm(
    trees: TreesOption,
    out: Annotated[Path, typer.Option(help="Folder for the PPM and training.json.")],
    policy: Annotated[
        str,
        typer.Option(
            help=f"The policy whose backbone the PPM starts from: `{DEFAULT_POLICY}`, a model folder, a GGUF file, or "
            "a hub id. Or a PPM, to continue its training.",
            rich_help_panel=MODELS,
        ),
    ] = DEFAULT_POLICY,
    resume: ResumeOption = False,
    training_arguments: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON file with more fields of transformers.TrainingArguments, such as fsdp; its field `lora` "
            "holds fields of peft.LoraConfig."
        ),
    ] = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Train a process preference model (PPM) on preference pairs from trees searched with --gold.

    Start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    further = lora_and_arguments(training_arguments)
    config = config_from_options(PPMTrainingConfig, "treestar train ppm", options | {"lora": further["lora"]})
    from treestar.training import train_ppm

    fetch_base(policy)
    with training_display(out) as display:
        found, skipped = read_all(trees)
        report = train_ppm(
            found,
            policy,
            out,
            config,
            skipped=skipped,
            resume=resume,
            training_arguments=further["training_arguments"],
            on_data=lambda data: say_data(data, display),
            on_progress=display.on_progress,
        )
        display.on_report(report)


@train.command(cls=GroupedCommand, short_help="Train a policy from rewards (GRPO).")
def grpo(
    job: Annotated[
        Path | None,
        typer.Argument(help="A YAML file that describes the job (docs/guides/grpo.md).", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the policy, training.json and the report.")] = None,
    resume: ResumeJob = False,
    show: ShowJob = False,
) -> None:
    """Train a policy from the rewards of its own executed trajectories (GRPO).

    Start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    from treestar.reinforcement.job import load_grpo_job

    chosen = load_grpo_job(job_file(job, out, resume))
    folder = folder_of(chosen, out, show)
    from treestar.reinforcement.run import run_grpo_job

    fetch_base(chosen.policy)
    with training_display(folder) as display:
        report = run_grpo_job(chosen, folder, resume=resume, say=display.say, on_progress=display.on_reinforcement)
        display.on_report(report)


def job_file(job: Path | None, out: Path | None, resume: bool) -> Path:
    """The file of a job: `job`, or with `resume` the one in the folder of a job that has begun.

    Raises:
        typer.BadParameter: neither is given, or no job has begun there.
    """
    from treestar.selfevolve.job_folder import JOB

    if job is not None:
        return job
    if resume and out is not None:
        if not (out / JOB).exists():
            raise typer.BadParameter(f"no job has begun in {out}: give a job file")
        return out / JOB
    raise typer.BadParameter("give a job file, or with --resume the folder of a job that has begun")


def folder_of(job: object, out: Path | None, show: bool) -> Path:
    """The folder `out`, to run the job in. With `show`, print the job instead and end the command.

    Raises:
        typer.BadParameter: there is no folder.
    """
    from treestar.config.job_files import job_as_yaml

    if show:
        print(job_as_yaml(job), end="")
        raise typer.Exit
    if out is None:
        raise typer.BadParameter("give --out, the folder for data, models and reports")
    return out


@contextmanager
def training_display(
    out: Path, how: str = "run the same command with --resume to continue from the last checkpoint"
) -> Iterator[TrainingDisplay]:
    """A display of what is written into `out`, which shows nothing except in the main process.

    Args:
        how: how to continue what was interrupted.

    Raises:
        TreestarError: the user interrupted what was done inside; the message says how to continue.
    """
    quiet_transformers()
    console = Console(stderr=True, soft_wrap=True, quiet=not is_main_process())
    with resumable(out, how), TrainingDisplay(console) as display:
        yield display
        display.say(f"written: {out}")


def rows_of_trees(paths: Sequence[Path], count: int, display: TrainingDisplay) -> list[SFTRow]:
    """The best correct trajectories of each problem in the trees of `paths`, at most `count` per problem."""
    from treestar.selfevolve.selection import best_trajectories

    trees, skipped = read_all(paths)
    best = best_trajectories(trees, count)
    if paths:
        problems = len({each.state.problem.question for each in best})
        display.say(
            f"{len(trees):,} trees read, {len(skipped):,} unreadable; "
            f"{len(best):,} right trajectories of {problems:,} problems"
        )
    return [SFTRow(each.state.problem.id, each.state, step_format=each.step_format) for each in best]


def say_data(data: TrainingData, display: TrainingDisplay) -> None:
    """Print the counts of a PPM's training data, and the trees that were skipped because they are faulty."""
    display.say(str(data.counts))
    faulty = [each for each in data.counts.skipped if each.reason in ("unreadable", "unjudged")]
    for each in faulty[:SKIPPED_NAMED]:
        display.say(f"  skipped {each.name}: {each.reason}{f' ({each.detail})' if each.detail else ''}")
    if len(faulty) > SKIPPED_NAMED:
        display.say(f"  and {len(faulty) - SKIPPED_NAMED:,} more, named in training.json")
    display.say(str(data))


def lora_and_arguments(path: Path | None) -> dict[str, Any]:
    """The fields `lora` and `training_arguments` of a configuration, which are one object in `path`.

    Raises:
        TreestarError: the file cannot be read or is not an object.
    """
    if path is None:
        return {"lora": None, "training_arguments": {}}
    from treestar.config.strict_yaml import InvalidYAML, read_yaml

    try:
        further = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidYAML) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TreestarError(f"training arguments {path} cannot be read: {reason}") from error
    if not isinstance(further, dict):
        raise TreestarError(f"training arguments {path} must be an object: names and values, as in `optim: adafactor`")
    return {"lora": further.pop("lora", None), "training_arguments": further}


@train.command(cls=GroupedCommand, short_help="Learn how much additional samples help a problem.")
def difficulty(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders of `treestar bench` with independent samples, 16 or more per problem.")
    ],
    out: Annotated[Path, typer.Option(help="File for the model, for `treestar solve --difficulty`.")],
    seed: Annotated[int, typer.Option(help="Same seed and samples: same model.")] = 0,
) -> None:
    """Learn from earlier runs how much additional samples help a problem, given its first samples."""
    from treestar.allocation import train_difficulty
    from treestar.benchmarks.runner import SAMPLES
    from treestar.benchmarks.samples import iter_rows
    from treestar.storage.files import writing

    model = train_difficulty([row for run in runs for row in iter_rows(run / SAMPLES)], seed)
    with writing(out):
        model.save(out)
    print(f"written: {out}")
