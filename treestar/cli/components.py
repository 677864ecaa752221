"""Options that several commands share: the models, the strategy, how steps are run, and trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from treestar.cli.options import CLUSTER, EXECUTION, MODELS, SEARCH, config_from_options, flag, taken
from treestar.components import DEFAULT_SCORER, NO_SCORER, scorer_name
from treestar.config.names import unknown_name
from treestar.policy import FormatName
from treestar.policy.models import SHIPPED_NAMES
from treestar.ppm.public import Aggregate, ScorerKind
from treestar.retrieval.config import RetrievalConfig
from treestar.sandbox import Isolation
from treestar.search import STRATEGIES, SearchConfig
from treestar.search.engine import check_scorer
from treestar.workers import RayConfig

if TYPE_CHECKING:
    from treestar.ppm.trees import SkippedTree
    from treestar.search import Tree

__all__ = [
    "SCORER_FLAGS",
    "TREES_HELP",
    "AggregateName",
    "Concurrency",
    "IsolationLevel",
    "PolicyName",
    "RayAddress",
    "ScorerKindName",
    "ScorerName",
    "StepFormatName",
    "StepSeparator",
    "StrategyName",
    "TreesOption",
    "ray_config",
    "read_all",
    "retrieval_config",
    "search_config",
]


def of_model(help_text: str) -> Any:
    """An option about a model, whose help text says its default."""
    return typer.Option(help=help_text, show_default=False, rich_help_panel=MODELS)


PolicyName = Annotated[
    str,
    typer.Option(
        help=f"{SHIPPED_NAMES['policy']}, another name that `treestar models` lists, a model folder or GGUF file, "
        "a Hugging Face hub id, vllm:MODEL, or openai:MODEL@URL.",
        rich_help_panel=MODELS,
    ),
]
StepFormatName = Annotated[
    FormatName | None,
    of_model("How the model writes its steps. [default: recognized from its files; see `treestar doctor --policy`]"),
]
StepSeparator = Annotated[
    str | None, of_model("For formats of prose, the text that ends a step, such as '## Step'. [default: a blank line]")
]
SCORER_FLAGS = ("--scorer", "--ppm")
"""The option for a scorer, and its older name."""

ScorerName = Annotated[
    str,
    typer.Option(
        *SCORER_FLAGS,
        help="A process preference model (PPM) or a public reward model: a folder written by `treestar train ppm`, a "
        f"hub id, vllm:MODEL, or openai:MODEL@URL. `{DEFAULT_SCORER}`: the one that comes with the policy, if any. "
        f"`{NO_SCORER}`: none.",
        rich_help_panel=MODELS,
    ),
]
ScorerKindName = Annotated[
    ScorerKind | None, of_model("The convention that the scorer follows. [default: recognized from its files]")
]
AggregateName = Annotated[
    Aggregate | None,
    of_model("How a public reward model's scores of the steps become one. [default: the model's own way]"),
]
Concurrency = Annotated[
    int,
    typer.Option(
        help="Maximum number of problems at the same time, in each process.", min=1, rich_help_panel=EXECUTION
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="local|ADDRESS",
        help="Search in Ray actors, on this machine (local) or on the cluster with its head at HOST:PORT.",
        rich_help_panel=CLUSTER,
    ),
]
StrategyName = Annotated[
    str, typer.Option(help=f"The search strategy: {', '.join(STRATEGIES)}.", rich_help_panel=SEARCH)
]
IsolationLevel = Annotated[
    Isolation,
    typer.Option(
        help="`full`: steps run in a jail or not at all. `process`: for systems without jails "
        "(docs/concepts/sandbox.md).",
        rich_help_panel=EXECUTION,
    ),
]

TREES_HELP = (
    "A folder of trees (.json; .jsonl with one per line; .parquet, as in the folder of an evolve job), or such a file; "
    "can be repeated."
)
TreesOption = Annotated[list[Path], typer.Option(help=TREES_HELP, rich_help_panel="Data and output")]


def search_config(strategy: str, policy: str, scorer: str, options: Mapping[str, Any]) -> SearchConfig:
    """The strategy's configuration with the options that were given, of a search with that policy and scorer.

    Raises:
        typer.BadParameter: the strategy does not exist, needs a PPM and none is given, or does not have an option.
    """
    if strategy not in STRATEGIES:
        raise typer.BadParameter(unknown_name("strategy", strategy, STRATEGIES))
    config_class, _ = STRATEGIES[strategy]
    config = config_from_options(config_class, f"the strategy {strategy}", options)
    try:
        check_scorer(strategy, scorer_name(policy, scorer, [config_class]) is not None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return config


def ray_config(address: str | None, options: dict[str, Any]) -> RayConfig | None:
    """The cluster at `address`, with its own options, which are removed from `options`.

    Raises:
        typer.BadParameter: its options are given without an address, or a value is not allowed.
    """
    own = taken(RayConfig, options)
    if address is not None:
        return config_from_options(RayConfig, "--ray", {"address": address, **own})
    if own:
        raise typer.BadParameter(f"{flag(next(iter(own)))} is for actors on a cluster: also give --ray")
    return None


def retrieval_config(options: dict[str, Any]) -> RetrievalConfig | None:
    """The settings of retrieval, which are removed from `options`; None without --retriever.

    Raises:
        typer.BadParameter: one of them is given without --retriever, or a value is not allowed.
    """
    own = taken(RetrievalConfig, options)
    if "retriever" in own:
        return config_from_options(RetrievalConfig, "--retriever", own)
    if own:
        raise typer.BadParameter(f"{flag(next(iter(own)))} is for retrieval: also give --retriever")
    return None


def read_all(paths: Sequence[Path]) -> tuple[list[Tree], list[SkippedTree]]:
    """All trees in `paths`, and the files or lines that could not be read."""
    from treestar.ppm.trees import read_trees

    folders = [read_trees(path) for path in paths]
    trees = [tree for folder in folders for tree in folder]
    return trees, [each for folder in folders for each in folder.skipped]
