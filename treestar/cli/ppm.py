"""`treestar ppm eval`: measure a process preference model on trees that it was not trained on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from treestar.cli.components import SCORER_FLAGS, AggregateName, ScorerKindName, TreesOption, read_all
from treestar.cli.options import MODELS, GroupedCommand
from treestar.cli.progress import quiet_transformers
from treestar.cli.train import ppm as train_ppm
from treestar.training.run import is_main_process
from treestar.types import Closable, State, TreestarError

__all__ = ["ppm"]

ppm = typer.Typer(help="Measure a process preference model (PPM).", no_args_is_help=True)


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
    from treestar.storage.files import write_json, writing

    loaded = load_named_scorer(scorer, scorer_kind=scorer_kind, aggregate=aggregate)
    with ExitStack() as opened:
        loop = asyncio.new_event_loop()  # one for all trees: connections to a server belong to a loop
        opened.callback(loop.close)
        if isinstance(loaded, Closable):
            opened.callback(lambda: loop.run_until_complete(loaded.close()))

        def score(states: Sequence[State]) -> Sequence[float]:
            return loop.run_until_complete(loaded.score(states)).values

        with console.status(f"scoring {len(found):,} trees"):
            evaluation = evaluate_ppm(found, score, skipped, seed)
    print(evaluation)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        figures = {"ppm": loaded.name, "trees": [str(path) for path in trees], **evaluation.to_json()}
        write_json(out / "evaluation.json", figures)
        try:
            draw_reliability(evaluation, out / "reliability.png")
        except TreestarError as error:
            console.print(f"no plot: {error}", highlight=False)
    console.print(f"written: {out}", highlight=False, markup=False)
