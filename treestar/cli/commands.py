"""All commands of `treestar`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from treestar import __version__
from treestar.cli.bench import bench
from treestar.cli.doctor import doctor
from treestar.cli.evolve import evolve
from treestar.cli.execute import execute
from treestar.cli.grade import AnswersWithDashes, grade
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

__all__ = ["app"]

app = typer.Typer(
    name="treestar",
    help="Test-time search for math reasoning: steps are proposed, executed, searched and checked.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # the boxes of the other modes truncate long names and sentences
    pretty_exceptions_enable=False,
)
app.command(cls=GroupedCommand, short_help="Search for the answer of a math problem.")(solve)
app.command(cls=GroupedCommand, short_help="Serve an OpenAI-compatible endpoint; each request is a search.")(serve)
app.command(cls=GroupedCommand, short_help="Improve a policy and its PPM in rounds (rStar-Math).")(evolve)
app.command(
    cls=AnswersWithDashes,
    short_help="Check whether two mathematical answers are equivalent.",
    context_settings={"ignore_unknown_options": True},  # `grade -1 1`: a number is not an option
)(grade)
app.command("exec", cls=GroupedCommand, short_help="Run a file's steps in the sandbox.")(execute)
app.command(short_help="Check this machine, or show how a model is prompted.")(doctor)
app.add_typer(bench, name="bench", short_help="Measure strategies or scorers, or compare two runs.")
train.command(cls=GroupedCommand, short_help="Distill a teacher's reasoning with retrieval (StepER).")(steper)
train.command("judge", cls=GroupedCommand, short_help="Train a judge of reasoning steps (StepWiser).")(train_judge)
app.add_typer(train, name="train", short_help="Train a policy, a PPM, a judge or a difficulty model.")
app.add_typer(ppm, name="ppm", short_help="Measure a process preference model (PPM).")
app.add_typer(judge, name="judge", short_help="Make the data of a judge of reasoning steps (StepWiser).")
app.add_typer(models, name="models", short_help="List models by name, and fetch public ones.")
app.add_typer(retrieval, name="retrieval", short_help="Index a corpus of titled paragraphs, or search it.")


def show_version(wanted: bool) -> None:
    if wanted:
        print(f"treestar {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """The options of `treestar` itself; they end it before any command runs."""
