"""What `solve`, `serve` and `bench` ask for alike: the models, the strategy, and how steps are run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from treestar.cli.options import config_from_options
from treestar.policy import FormatName, OpenAIPolicy
from treestar.ppm.openai import OpenAIScorer
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer
from treestar.verifier.sandbox import Isolation

__all__ = [
    "IsolationLevel",
    "PPMName",
    "PolicyName",
    "StepFormatName",
    "StrategyName",
    "report_repeats",
    "search_config",
]

PolicyName = Annotated[
    str,
    typer.Option(help="`embedded`, a model folder, a Hugging Face hub id, vllm:MODEL, or openai:MODEL@URL."),
]
StepFormatName = Annotated[
    FormatName | None,
    typer.Option(help="The form of steps that the model speaks. [default: what its own files say]", show_default=False),
]
PPMName = Annotated[
    str | None,
    typer.Option(
        help="A process preference model: a folder that `treestar ppm train` wrote, a hub id, vllm:MODEL, or "
        "openai:MODEL@URL."
    ),
]
StrategyName = Annotated[str, typer.Option(help=f"How the budget is spent: {', '.join(STRATEGIES)}.")]
IsolationLevel = Annotated[
    Isolation,
    typer.Option(help="`full`: steps run in a jail, or not at all. `process`: where a system has no jail; see docs."),
]


def search_config(strategy: str, has_scorer: bool, options: Mapping[str, Any]) -> SearchConfig:
    """The strategy's configuration with the options that were given.

    Raises:
        typer.BadParameter: there is no such strategy, it needs a PPM and has none, or an option does not suit it.
    """
    if strategy not in STRATEGIES:
        raise typer.BadParameter(f"there is no strategy {strategy!r}: it is one of {', '.join(STRATEGIES)}")
    config = config_from_options(STRATEGIES[strategy][0], f"the strategy {strategy}", options)
    try:
        check_scorer(strategy, has_scorer)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return config


def report_repeats(parts: Iterable[object], errors: Console) -> None:
    """Say what those of a search's parts that are behind a server had to repeat."""
    for part in parts:
        if isinstance(part, OpenAIPolicy | OpenAIScorer) and (report := part.report()):
            errors.print(report, highlight=False, markup=False)
