"""`treestar train steper`: collect a teacher's reasoning with retrieval, and train a student on its steps."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from treestar.cli.components import Concurrency, retrieval_config
from treestar.cli.models import fetch_base
from treestar.cli.options import MODELS, RETRIEVAL, config_from_options, finite, with_config_options
from treestar.cli.train import ResumeOption, SFTArguments, lora_and_arguments, training_display
from treestar.policy.models import DEFAULT_POLICY
from treestar.retrieval.config import RetrievalConfig
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.run import is_main_process, process_count
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.benchmarks.datasets import ProblemSet
    from treestar.benchmarks.passages import Passages
    from treestar.types import Problem

__all__ = ["steper"]

SETTINGS = "collected.json"


@with_config_options(
    StepERTrainingConfig,
    RetrievalConfig,
    without=("lora", "training_arguments", "step_format", "packing", "move_names"),
    group="Training",
    own_group="Data and output",
)
def steper(
    datasets: Annotated[list[str], typer.Argument(help="Questions with gold answers: jsonl:PATH, hotpotqa, ...")],
    out: Annotated[Path, typer.Option(help="Folder for the student, training.json and sigmas.png.")],
    teacher: Annotated[
        str,
        typer.Option(
            help="The policy that reasons: a name as for `treestar solve`, or `scripted`, which reads the gold "
            "reasoning.",
            rich_help_panel=MODELS,
        ),
    ],
    base: Annotated[
        str,
        typer.Option(
            help=f"The student: `{DEFAULT_POLICY}`, a model folder, a GGUF file, or a hub id.", rich_help_panel=MODELS
        ),
    ] = DEFAULT_POLICY,
    trajectories: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the teacher's trajectories, which several trainings can share.  "
            "[default: OUT-trajectories]",
            show_default=False,
        ),
    ] = None,
    min_f1: Annotated[
        float | None,
        typer.Option(
            help="Keep answers with at least this F1. [default: those that match exactly]",
            min=0.01,
            max=1.0,
            callback=finite,
            show_default=False,
        ),
    ] = None,
    teacher_steps: Annotated[
        int, typer.Option(help="Maximum number of the teacher's steps.", min=1, rich_help_panel=RETRIEVAL)
    ] = 5,
    limit: Annotated[int | None, typer.Option(help="Only the first N questions of each data set.", min=1)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the named sets as JSON Lines.")] = None,
    concurrency: Concurrency = 16,
    resume: ResumeOption = False,
    training_arguments: SFTArguments = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Distill a teacher's reasoning with retrieval into a student, step by step (StepER).

    `--steps final` is vanilla distillation. Once the trajectories are collected, start it with `torchrun` or
    `accelerate launch` to train on several devices.
    """
    options = {"retriever": RetrievalConfig().retriever, **options}
    retrieval = retrieval_config(options)
    assert retrieval is not None
    config = config_from_options(
        StepERTrainingConfig, "treestar train steper", options | lora_and_arguments(training_arguments)
    )
    folder = trajectories or out.with_name(f"{out.name}-trajectories")
    from treestar.benchmarks.datasets import load_problems
    from treestar.benchmarks.passages import passages_for
    from treestar.training.accepted import check_accepted
    from treestar.training.distill.collect import read_trajectories
    from treestar.training.distill.plots import draw_sigmas
    from treestar.training.distill.train import train_steper

    fetch_base(base, teacher)
    with training_display(out) as display:
        check_accepted("sft", "training arguments", config.training_arguments, config.lora)
        sets, passages, left_out = passages_for([load_problems(name, data_dir, limit) for name in datasets], retrieval)
        problems = [problem for each in sets for problem in each.problems]
        settings = {
            "teacher": teacher,
            "retrieval": asdict(retrieval),
            "min_f1": min_f1,
            "steps": teacher_steps,
            "sets": datasets,
        }
        said = (
            collected(sets, passages, settings, folder, concurrency)
            if process_count() == 1
            else already_collected(problems, settings, folder)
        )
        display.say(f"{said}; {left_out:,} questions without paragraphs were left out" if left_out else said)
        report = train_steper(
            read_trajectories(folder, problems),
            base,
            out,
            config,
            resume=resume,
            on_data=lambda data: display.say(str(data)),
            on_progress=display.on_progress,
        )
        if is_main_process():
            try:
                draw_sigmas(report, out / "sigmas.png")
            except TreestarError as error:
                display.say(f"no plot: {error}")
        display.on_report(report)


def collected(
    sets: list[ProblemSet], passages: Passages, settings: dict[str, Any], folder: Path, concurrency: int
) -> str:
    """Ask the teacher what is not in `folder` yet; returns the counts as a sentence. Raises TreestarError also if
    another process is asking for the same folder."""
    from treestar.policy import load_policy
    from treestar.search import Components
    from treestar.storage.files import locked, write_json
    from treestar.storage.settings import begin_folder
    from treestar.training.distill.collect import collect
    from treestar.training.distill.teacher import SCRIPTED, ScriptedTeacher
    from treestar.types import Closable, Policy
    from treestar.verifier.grading.questions import QuestionVerifier

    teacher = settings["teacher"]
    set_of = {id(problem): each.name for each in sets for problem in each.problems}

    async def run() -> str:
        async with AsyncExitStack() as opened:
            executor_of = passages.open()

            @cache
            def policy() -> Policy:
                found = ScriptedTeacher() if teacher == SCRIPTED else load_policy(teacher, "retrieval")
                if isinstance(found, Closable):
                    opened.push_async_callback(found.close)
                return found

            def components_of(problem: Problem) -> Components:
                return Components(policy(), executor_of(set_of[id(problem)], problem), QuestionVerifier())

            problems = [problem for each in sets for problem in each.problems]
            found = await collect(problems, components_of, folder, settings["min_f1"], settings["steps"], concurrency)
            write_json(folder / SETTINGS, {**settings, "found": found.to_json()})
            return str(found)

    with locked(folder):
        begin_folder(folder / SETTINGS, settings, can_change=["found"])
        return asyncio.run(run())


def already_collected(problems: list[Problem], settings: dict[str, Any], folder: Path) -> str:
    """The counts as a sentence. Raises TreestarError if the teacher has not been asked everything with these
    settings."""
    from treestar.storage.settings import check_same_settings, read_settings
    from treestar.training.distill.collect import incomplete, stored

    if not (folder / SETTINGS).exists():
        raise incomplete(folder)
    before = read_settings(folder / SETTINGS)
    check_same_settings(folder, {name: before[name] for name in before if name != "found"}, settings)
    return str(stored(folder, problems))
