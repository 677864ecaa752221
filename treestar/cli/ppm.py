"""`treestar ppm`: train a process preference model from search trees, and measure one on trees it has not seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from treestar.cli.options import MODELS, GroupedCommand, config_from_options, with_config_options
from treestar.cli.training_progress import TrainingDisplay
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.run import is_main_process
from treestar.types import State, TreestarError

if TYPE_CHECKING:
    from treestar.ppm.trees import SkippedTree
    from treestar.search import Tree

__all__ = ["ppm"]

ppm = typer.Typer(help="Train a process preference model (PPM) from search trees, or measure one.")

TreesOption = Annotated[
    list[Path],
    typer.Option(help="A folder of trees (.json, or .jsonl with one a line), or such a file; may be repeated."),
]


@ppm.command(cls=GroupedCommand)
@with_config_options(PPMTrainingConfig, group="Training", own_group="Data and output")
def train(
    trees: TreesOption,
    out: Annotated[Path, typer.Option(help="Folder for the PPM and training.json.")],
    policy: Annotated[
        str,
        typer.Option(
            help="Whose backbone the PPM starts from: `embedded`, a model folder, or a hub id. Or a PPM, to train it "
            "further.",
            rich_help_panel=MODELS,
        ),
    ] = "embedded",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    training_arguments: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON file with further fields of transformers.TrainingArguments, such as fsdp."),
    ] = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Train a PPM on preference pairs from trees that were searched with --gold.

    Start it with `torchrun` or `accelerate launch` to train on several devices.
    """
    config = config_from_options(PPMTrainingConfig, "treestar ppm train", options)
    further = read_training_arguments(training_arguments) if training_arguments is not None else {}
    console = Console(stderr=True, soft_wrap=True, quiet=not is_main_process())
    found, skipped = read_all(trees)
    quiet_transformers()
    from treestar.training.ppm.train import train_ppm

    display = TrainingDisplay(console)
    try:
        with display:
            report = train_ppm(
                found,
                policy,
                out,
                config,
                skipped=skipped,
                resume=resume,
                training_arguments=further,
                on_data=display.on_data,
                on_progress=display.on_progress,
            )
    except KeyboardInterrupt:
        raise TreestarError(
            f"interrupted; the same command with --resume goes on from the last checkpoint: {out}"
        ) from None
    display.on_report(report)
    console.print(f"written: {out}", highlight=False)


@ppm.command("eval")
def evaluate(
    ppm: Annotated[str, typer.Option(help="A PPM: `embedded`, a folder that `treestar ppm train` wrote, or a hub id.")],
    trees: TreesOption,
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json and reliability.png.")],
    seed: Annotated[int, typer.Option(help="Of the resamples behind the intervals.")] = 0,
) -> None:
    """Measure a PPM on trees that it was not trained on: pair accuracy, AUC of step correctness, reliability."""
    console = Console(stderr=True, soft_wrap=True)
    found, skipped = read_all(trees)
    quiet_transformers()
    from treestar.ppm.evaluation import evaluate as evaluate_ppm
    from treestar.ppm.load import load_scorer
    from treestar.ppm.plots import draw_reliability

    scorer = load_scorer(ppm)

    def score(states: Sequence[State]) -> Sequence[float]:
        return asyncio.run(scorer.score(states)).values

    with console.status(f"scoring {len(found):,} trees"):
        evaluation = evaluate_ppm(found, score, skipped, seed)
    print(evaluation)
    try:
        out.mkdir(parents=True, exist_ok=True)
        found_values = {"ppm": ppm, "trees": [str(path) for path in trees], **evaluation.to_json()}
        (out / "evaluation.json").write_text(json.dumps(found_values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise TreestarError(f"{out} cannot be written: {error.strerror or error}") from error
    try:
        draw_reliability(evaluation, out / "reliability.png")
    except TreestarError as error:
        console.print(f"no plot: {error}", highlight=False)
    console.print(f"written: {out}", highlight=False)


def read_all(paths: Sequence[Path]) -> tuple[list[Tree], list[SkippedTree]]:
    """All trees in `paths`, and what there was none in."""
    from treestar.ppm.trees import read_trees

    folders = [read_trees(path) for path in paths]
    trees = [tree for folder in folders for tree in folder]
    return trees, [each for folder in folders for each in folder.skipped]


def read_training_arguments(path: Path) -> Mapping[str, Any]:
    """Raises TreestarError where `path` holds no object."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TreestarError(f"training arguments {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise TreestarError(f"training arguments {path} must be an object: names and values, as in `optim: adafactor`")
    return found


def quiet_transformers() -> None:
    """Its bars and notices would be mixed with ours; what goes wrong is raised."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
