"""`treestar serve`: an OpenAI-compatible endpoint that answers each request with a search."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from treestar.cli.components import (
    AggregateName,
    IsolationLevel,
    PolicyName,
    ScorerKindName,
    ScorerName,
    StepFormatName,
    StepSeparator,
    StrategyName,
    search_config,
)
from treestar.cli.models import fetch_base
from treestar.cli.options import SEARCH, config_from_options, taken, with_config_options
from treestar.components import DEFAULT_SCORER
from treestar.extras import needs_extra
from treestar.policy.models import DEFAULT_POLICY
from treestar.sandbox import SandboxConfig
from treestar.search import STRATEGIES
from treestar.serve import ServerConfig
from treestar.solver import Solver

__all__ = ["serve"]


@with_config_options(
    ServerConfig,
    *(config_class for config_class, _ in reversed(STRATEGIES.values())),
    without={"gold"},
    group="Server",
    own_group=SEARCH,
)
def serve(
    policy: PolicyName = DEFAULT_POLICY,
    step_format: StepFormatName = None,
    step_separator: StepSeparator = None,
    ppm: ScorerName = DEFAULT_SCORER,
    scorer_kind: ScorerKindName = None,
    aggregate: AggregateName = None,
    strategy: StrategyName = "mcts",
    isolation: IsolationLevel = "full",
    seed: Annotated[int, typer.Option(help="The seed of requests without one.")] = 0,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options
) -> None:
    """Serve an OpenAI-compatible chat completions endpoint: each request is a search that answers its last message.

    Requests can change the search, but can only lower its token and time budgets. The key that clients must send is
    read from TREESTAR_API_KEY.
    """
    given = taken(ServerConfig, options)
    if "allowed_origins" in given:
        given["allowed_origins"] = origins_of(given["allowed_origins"])
    server = config_from_options(ServerConfig, "the server", given)
    search = search_config(strategy, policy, ppm, options)
    try:
        from treestar.serve import server as serving
    except ImportError as error:
        raise needs_extra("serving", "serve") from error
    fetch_base(policy)
    with serving.bind(server) as listener:
        print(f"loading policy {policy}", file=sys.stderr, flush=True)
        sandbox = SandboxConfig(isolation=isolation)
        with Solver(
            policy,
            search,
            ppm,
            sandbox,
            seed=seed,
            step_format=step_format,
            scorer_kind=scorer_kind,
            aggregate=aggregate,
            step_separator=step_separator,
        ) as solver:
            serving.serve(solver, server, listener)


def origins_of(given: Iterable[str]) -> tuple[str, ...]:
    """The origins in values that each are one, or a JSON list of them, as vLLM's server takes it.

    Raises:
        typer.BadParameter: a list is not JSON, or not of texts.
    """
    origins: list[str] = []
    for value in given:
        try:
            listed = json.loads(value) if value.lstrip().startswith("[") else [value]
        except ValueError:
            listed = [None]
        if not all(isinstance(each, str) for each in listed):
            raise typer.BadParameter(f"--allowed-origins takes an origin or a JSON list of them, not {value}")
        origins += listed
    return tuple(origins)
