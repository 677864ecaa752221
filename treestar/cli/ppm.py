"""`treestar ppm eval`: measure a process preference model on trees that it was not trained on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from treestar.cli.components import SCORER_FLAGS, AggregateName, ScorerKindName
from treestar.cli.options import MODELS, GroupedCommand
from treestar.cli.progress import quiet_transformers
from treestar.cli.train import ppm as train_ppm
from treestar.cli.tree_files import TreesOption, read_all
from treestar.training.run import is_main_process
from treestar.types import State, TreestarError

__all__ = ["ppm"]

ppm = typer.Typer(help="Measure a process preference model (PPM).")


@ppm.command("train", hidden=True, cls=GroupedCommand)
@wraps(train_ppm)
def train_by_old_name(**given: Any) -> None:
    if is_main_process():
        print("`treestar ppm train` is now `treestar train ppm`; the old name is accepted until 0.3", file=sys.stderr)
    train_ppm(**given)


@ppm.command("eval", cls=GroupedCommand, short_help="Measure a PPM on trees that it was not trained on.")
def evaluate(
    scorer: Annotated[
        str,
        typer.Option(
            *SCORER_FLAGS,
            help="The PPM: a folder written by `treestar train ppm`, or a name as for `treestar solve`.",
            rich_help_panel=MODELS,
        ),
    ],
    trees: TreesOption,
    out: Annotated[
        Path, typer.Option(help="Folder for evaluation.json and reliability.png.", rich_help_panel="Data and output")
    ],
    seed: Annotated[
        int, typer.Option(help="Seed of the bootstrap that gives the intervals.", rich_help_panel="Data and output")
    ] = 0,
    scorer_kind: ScorerKindName = None,
    aggregate: AggregateName = None,
) -> None:
    """Measure a PPM on trees that it was not trained on: pair accuracy, AUC of step correctness, reliability."""
    console = Console(stderr=True, soft_wrap=True)
    found, skipped = read_all(trees)
    quiet_transformers()
    from treestar.components import load_named_scorer
    from treestar.ppm.evaluation import evaluate as evaluate_ppm
    from treestar.ppm.plots import draw_reliability

    loaded = load_named_scorer(scorer, scorer_kind=scorer_kind, aggregate=aggregate)

    def score(states: Sequence[State]) -> Sequence[float]:
        return asyncio.run(loaded.score(states)).values

    with console.status(f"scoring {len(found):,} trees"):
        evaluation = evaluate_ppm(found, score, skipped, seed)
    print(evaluation)
    try:
        out.mkdir(parents=True, exist_ok=True)
        found_values = {"ppm": loaded.name, "trees": [str(path) for path in trees], **evaluation.to_json()}
        (out / "evaluation.json").write_text(json.dumps(found_values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise TreestarError(f"{out} cannot be written: {error.strerror or error}") from error
    try:
        draw_reliability(evaluation, out / "reliability.png")
    except TreestarError as error:
        console.print(f"no plot: {error}", highlight=False)
    console.print(f"written: {out}", highlight=False, markup=False)
