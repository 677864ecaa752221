"""What `solve`, `serve` and `bench` ask for alike: the models, the strategy, and how steps are run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from treestar.cli.options import config_from_options
from treestar.policy import FormatName, OpenAIPolicy
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer
from treestar.types import Policy
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
    str, typer.Option(help="`embedded`, a model folder, a Hugging Face hub id, or openai:MODEL@URL.")
]
StepFormatName = Annotated[
    FormatName | None,
    typer.Option(help="The form of steps that the model speaks. [default: what its own files say]", show_default=False),
]
PPMName = Annotated[
    str | None,
    typer.Option(help="A process preference model: a folder as `treestar ppm train` writes, or a hub id."),
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


def report_repeats(policy: Policy, errors: Console) -> None:
    """Say what a policy behind a server had to repeat."""
    if isinstance(policy, OpenAIPolicy) and (report := policy.report()):
        errors.print(report, highlight=False, markup=False)
