"""What `solve`, `serve` and `bench` ask for alike: the models, the strategy, and how steps are run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from treestar.cli.options import config_from_options
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer
from treestar.verifier.sandbox import Isolation

__all__ = ["IsolationLevel", "PPMName", "PolicyName", "StrategyName", "search_config"]

PolicyName = Annotated[str, typer.Option(help="`embedded`, a model folder, or a Hugging Face hub id.")]
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
