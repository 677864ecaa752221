"""`treestar solve`: search for the answer of one question, of a file of questions, or of the built-in examples."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from treestar.allocation.search_set import check_config
from treestar.cli.components import (
    AggregateName,
    IsolationLevel,
    PolicyName,
    RayAddress,
    ScorerKindName,
    ScorerName,
    StepFormatName,
    StepSeparator,
    StrategyName,
    ray_config,
    search_config,
)
from treestar.cli.models import fetch_base
from treestar.cli.options import BUDGET, CLUSTER, SEARCH, with_config_options
from treestar.cli.problem_file import read_problems
from treestar.cli.show import SearchDisplay, result_view
from treestar.components import DEFAULT_SCORER
from treestar.policy.models import DEFAULT_POLICY, problems_path
from treestar.problems import as_problem
from treestar.results_file import ResultKey, result_key
from treestar.sandbox import SandboxConfig
from treestar.search import STRATEGIES, Budget, SearchConfig, SearchResult
from treestar.solver import Solver
from treestar.storage.files import writing
from treestar.types import Problem, TreestarError
from treestar.workers import RayConfig

__all__ = ["solve"]


@with_config_options(
    *(config_class for config_class, _ in reversed(STRATEGIES.values())),
    RayConfig,
    without=("address",),
    group=CLUSTER,
    own_group="Problem and output",
)
def solve(
    question: Annotated[str | None, typer.Argument(help="The question; or give --file or --examples.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="JSON Lines, an array or a table (.csv) with `question`, and optionally `answer`, `id`."),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Solve a handful of built-in problems.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Append each result to this file as it finishes; run again to continue.")
    ] = None,
    policy: PolicyName = DEFAULT_POLICY,
    step_format: StepFormatName = None,
    step_separator: StepSeparator = None,
    ppm: ScorerName = DEFAULT_SCORER,
    scorer_kind: ScorerKindName = None,
    aggregate: AggregateName = None,
    strategy: StrategyName = "mcts",
    isolation: IsolationLevel = "full",
    seed: Annotated[int, typer.Option(help="Same seed, problem and model: same tree.", rich_help_panel=SEARCH)] = 0,
    total_tokens: Annotated[
        int | None,
        typer.Option(
            help="Generate at most this many tokens for all problems together, on those where another trajectory helps "
            "most; with majority, best_of_n and weighted_vote.",
            min=1,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    difficulty: Annotated[
        Path | None,
        typer.Option(
            help="With --total-tokens: a difficulty model by `treestar train difficulty`.",
            exists=True,
            dir_okay=False,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object per problem to stdout.")] = False,
    save_tree: Annotated[
        Path | None,
        typer.Option(help="Write the tree to this JSON file; with several problems, to one file each in this folder."),
    ] = None,
    ray: RayAddress = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options
) -> None:
    """Search for the answer of a math problem: steps are proposed, executed, and searched as a tree."""
    if sum([question is not None, file is not None, examples]) != 1:
        raise typer.BadParameter("give exactly one of QUESTION, --file and --examples")
    cluster = ray_config(ray, options)
    config = search_config(strategy, policy, ppm, options)
    total = total_budget(total_tokens, difficulty, config, cluster)
    problems, faults = problems_to_solve(question, file or problems_path(policy))
    errors = Console(stderr=True, soft_wrap=True)
    for fault in faults:
        errors.print(f"[bold red]error:[/] {escape(fault)}", highlight=False)
    if not problems:
        raise typer.Exit(1)
    check_writable(out)
    fetch_base(policy)
    trees = {} if save_tree is None else tree_paths(problems, save_tree)
    console = Console()
    display = SearchDisplay(errors, len(problems))
    read_back = unfinished = 0

    def on_result(result: SearchResult) -> None:
        nonlocal read_back, unfinished
        if is_unfinished(result):
            unfinished += 1
            return
        display.on_result(result)
        if result.tree is not None and save_tree is not None and replaces_tree(result, trees):
            path = trees[result_key(result.problem)]
            with writing(path):
                result.tree.save(path)
        read_back += save_tree is not None and result.tree is None
        if json_:
            print(json.dumps(result.to_json()), flush=True)
        elif cluster is not None:
            console.print(result_view(result))

    def remark(line: str) -> None:
        errors.print(line, highlight=False, markup=False)

    try:
        with errors.status(f"loading policy {policy}") if errors.is_terminal else nullcontext():
            solver = Solver(
                policy,
                config,
                ppm,
                SandboxConfig(isolation=isolation),
                seed=seed,
                on_progress=display.on_progress,
                on_remark=remark,
                step_format=step_format,
                step_separator=step_separator,
                scorer_kind=scorer_kind,
                aggregate=aggregate,
                ray=cluster,
            )
        with solver, display:
            results = solver.solve_many(problems, out, on_result, save_tree is not None, total, difficulty)
    except KeyboardInterrupt:
        if cluster is None:
            raise
        raise TreestarError("interrupted; with --out, run the same command to continue") from None
    if cluster is None and not json_:
        for result in results:
            if not is_unfinished(result):
                console.print(result_view(result))
    if not json_:
        console.print(display.summary())
    if unfinished:
        rest = "run the same command to continue" if out is not None else "--out would keep what is finished"
        print(f"interrupted: {unfinished} of {len(problems)} without an answer; {rest}", file=sys.stderr)
    if read_back:
        print("results read back from --out have no trees to save", file=sys.stderr)
    if faults:
        raise typer.Exit(1)


def is_unfinished(result: SearchResult) -> bool:
    """Whether Ctrl-C came before the search had any answer."""
    return result.stopped == "interrupted" and result.answer is None


def replaces_tree(result: SearchResult, trees: dict[ResultKey, Path]) -> bool:
    """Whether the tree is written: not that of an interrupted search over the one of an earlier run."""
    return result.stopped != "interrupted" or not trees[result_key(result.problem)].exists()


def total_budget(
    tokens: int | None, difficulty: Path | None, config: SearchConfig, cluster: RayConfig | None
) -> Budget | None:
    """The budget of all problems together, if there is one. Raises typer.BadParameter if it cannot be spent."""
    if tokens is None:
        if difficulty is not None:
            raise typer.BadParameter("--difficulty needs --total-tokens")
        return None
    if cluster is not None:
        raise typer.BadParameter("--total-tokens is spent in this process: leave out --ray")
    try:
        check_config(config)
    except ValueError as error:
        raise typer.BadParameter(f"--total-tokens: {error}") from error
    return Budget(max_generated_tokens=tokens)


def problems_to_solve(question: str | None, file: Path) -> tuple[list[Problem], list[str]]:
    if question is None:
        return read_problems(file)
    try:
        return [as_problem(question, 0)], []
    except ValueError as error:
        raise typer.BadParameter(str(error).partition(": ")[2]) from error  # without the id: it has none


def check_writable(out: Path | None) -> None:
    """Check before the search that `out` can be written. Raises TreestarError."""
    if out is not None:
        with writing(out):
            out.open("a", encoding="utf-8").close()


def tree_paths(problems: Sequence[Problem], path: Path) -> dict[ResultKey, Path]:
    """The file of each problem's tree: `path`, or a file in the folder `path` named after the problem's id. If several
    have the same name, those after the first also have their index among the problems. Raises TreestarError if it
    cannot be written."""
    if len(problems) == 1 and not path.is_dir():
        check_writable(path)
        return {result_key(problems[0]): path}
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    names: dict[str, ResultKey] = {}
    for place, problem in enumerate(problems):
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in problem.id)
        names[f"{name}-{place}" if name in names else name] = result_key(problem)
    return {key: path / f"{name}.json" for name, key in names.items()}
