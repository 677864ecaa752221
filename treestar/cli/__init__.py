"""The `treestar` command. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import sys
import warnings

import typer
from rich.console import Console
from rich.markup import escape

from treestar.cli.bench import bench
from treestar.cli.doctor import doctor
from treestar.cli.evolve import evolve
from treestar.cli.execute import execute
from treestar.cli.grade import grade
from treestar.cli.judge import judge
from treestar.cli.models import models
from treestar.cli.options import GroupedCommand
from treestar.cli.ppm import ppm
from treestar.cli.retrieval import retrieval
from treestar.cli.serve import serve
from treestar.cli.solve import solve
from treestar.cli.train import train
from treestar.cli.train_judge import judge as train_judge
from treestar.cli.train_steper import steper
from treestar.types import TreestarError

__all__ = ["app", "main"]

app = typer.Typer(
    name="treestar",
    help="Test-time search for math reasoning: steps are proposed, executed, searched and checked.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the boxes of the other modes truncate long names and sentences
    pretty_exceptions_enable=False,
)
app.command(cls=GroupedCommand)(solve)
app.command(cls=GroupedCommand)(serve)
app.command(cls=GroupedCommand)(evolve)
app.command(context_settings={"ignore_unknown_options": True})(grade)  # `grade -1 1`: a number is not an option
app.command("exec", cls=GroupedCommand)(execute)
app.command()(doctor)
app.add_typer(bench, name="bench")
train.command(cls=GroupedCommand)(steper)
train.command("judge", cls=GroupedCommand)(train_judge)
app.add_typer(train, name="train")
app.add_typer(ppm, name="ppm")
app.add_typer(judge, name="judge")
app.add_typer(models, name="models")
app.add_typer(retrieval, name="retrieval")


def main() -> None:
    """Run the command; a known failure is printed as one sentence, without a traceback."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        app(prog_name="treestar")
    except TreestarError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)
