"""What `solve`, `serve` and `bench` ask for alike: the models, the strategy, and how steps are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from treestar.cli.options import CLUSTER, EXECUTION, MODELS, SEARCH, config_from_options
from treestar.policy import FormatName
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer
from treestar.verifier.sandbox import Isolation
from treestar.workers import RayConfig

__all__ = [
    "Concurrency",
    "IsolationLevel",
    "PPMName",
    "PolicyName",
    "RayAddress",
    "StepFormatName",
    "StrategyName",
    "ray_config",
    "search_config",
]

PolicyName = Annotated[
    str,
    typer.Option(
        help="`embedded`, a model folder, a Hugging Face hub id, vllm:MODEL, or openai:MODEL@URL.",
        rich_help_panel=MODELS,
    ),
]
StepFormatName = Annotated[
    FormatName | None,
    typer.Option(
        help="The form of steps that the model speaks. [default: what its own files say]",
        show_default=False,
        rich_help_panel=MODELS,
    ),
]
PPMName = Annotated[
    str | None,
    typer.Option(
        help="A process preference model: a folder that `treestar ppm train` wrote, a hub id, vllm:MODEL, or "
        "openai:MODEL@URL.",
        rich_help_panel=MODELS,
    ),
]
Concurrency = Annotated[
    int,
    typer.Option(help="Most problems at the same time; with --ray in each actor.", min=1, rich_help_panel=EXECUTION),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="local|ADDRESS",
        help="Search in actors of Ray: on this machine's cores and GPUs, or on the cluster whose head is at HOST:PORT.",
        rich_help_panel=CLUSTER,
    ),
]
StrategyName = Annotated[
    str, typer.Option(help=f"How the budget is spent: {', '.join(STRATEGIES)}.", rich_help_panel=SEARCH)
]
IsolationLevel = Annotated[
    Isolation,
    typer.Option(
        help="`full`: steps run in a jail, or not at all. `process`: where a system has no jail; see docs.",
        rich_help_panel=EXECUTION,
    ),
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


def ray_config(address: str | None, options: dict[str, Any]) -> RayConfig | None:
    """The cluster at `address` with those of `options` that are for it, which are taken out of them.

    Raises:
        typer.BadParameter: there are such options without an address, or one has a value that is not allowed.
    """
    own = {field.name: options.pop(field.name) for field in fields(RayConfig) if field.name in options}
    if address is not None:
        return config_from_options(RayConfig, "--ray", {"address": address, **own})
    if own:
        raise typer.BadParameter(f"--{next(iter(own)).replace('_', '-')} is for actors on a cluster: give --ray too")
    return None
