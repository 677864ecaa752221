"""`treestar bench`: measure strategies on data sets, and compare two runs."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from typer.core import TyperGroup

from treestar.cli.bench_progress import BenchmarkProgress
from treestar.cli.bench_steps import prmbench, processbench
from treestar.cli.components import (
    AggregateName,
    Concurrency,
    PolicyName,
    RayAddress,
    ScorerKindName,
    ScorerName,
    StepFormatName,
    StepSeparator,
    ray_config,
    retrieval_config,
)
from treestar.cli.models import fetch_base
from treestar.cli.options import CLUSTER, MODELS, RETRIEVAL, GroupedCommand, with_config_options
from treestar.cli.progress import resumable
from treestar.components import DEFAULT_SCORER, scorer_name
from treestar.policy.models import DEFAULT_POLICY, Dtype
from treestar.retrieval.config import RetrievalConfig
from treestar.search import STRATEGIES
from treestar.search.engine import check_scorer
from treestar.types import TreestarError
from treestar.workers import RayConfig, Workers, open_workers

if TYPE_CHECKING:
    from treestar.benchmarks.datasets import ProblemSet
    from treestar.benchmarks.matrix import BenchmarkConfig
    from treestar.benchmarks.samples import Row
    from treestar.benchmarks.task import BenchmarkTask

__all__ = ["bench"]

NumberT = TypeVar("NumberT", int, float)


class RunByDefault(TyperGroup):
    """`treestar bench gsm8k` is `treestar bench run gsm8k`; a misspelled command is no data set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_command = bool(args) and bool(get_close_matches(args[0], self.commands, n=1, cutoff=0.75))
        return super().parse_args(ctx, args if is_command else ["run", *args])


bench = typer.Typer(
    cls=RunByDefault, help="Measure strategies on data sets or scorers on single steps, or compare two runs."
)
bench.command(cls=GroupedCommand)(processbench)
bench.command(cls=GroupedCommand)(prmbench)


@bench.command(cls=GroupedCommand)
@with_config_options(
    *(config_class for config_class, _ in STRATEGIES.values()),
    RayConfig,
    RetrievalConfig,
    without=("samples", "temperature", "max_generated_tokens", "gold", "address"),
    group=CLUSTER,
    own_group="Measurement",
)
def run(
    datasets: Annotated[
        list[str], typer.Argument(help="gsm8k, math500, ..., rg:FAMILY[:LEVEL], jsonl:PATH, hf:NAME[:CONFIG][@SPLIT].")
    ],
    out: Annotated[Path, typer.Option(help="Folder for results.json, samples.jsonl, report.md and plots.")],
    strategy: Annotated[
        str, typer.Option(help=f"Comma-separated strategies: {', '.join(STRATEGIES)}.")
    ] = "greedy,majority,best_of_n,mcts",
    samples: Annotated[
        int,
        typer.Option(
            help="Independent trajectories per problem; at most as many where sampling stops when the vote is decided."
        ),
    ] = 16,
    k: Annotated[str, typer.Option(help="Comma-separated k of pass@k, consensus@k and best-of-k.")] = "1,4,16",
    temperature: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated sampling temperatures. [default: what suits the policy, see `doctor --policy`]",
            show_default=False,
        ),
    ] = None,
    budget_tokens: Annotated[
        str, typer.Option(help="Comma-separated token budgets per problem at which all strategies are compared.")
    ] = "",
    thinking_budgets: Annotated[
        str,
        typer.Option(
            help="Comma-separated maximum lengths of thoughts in tokens, for models that think: a run for each."
        ),
    ] = "",
    seeds: Annotated[int, typer.Option(help="Repetitions, with seeds 0, 1, ...")] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first N problems of each data set.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the named sets as JSON Lines; without it, the Hugging Face hub.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    policy: PolicyName = DEFAULT_POLICY,
    step_format: StepFormatName = None,
    step_separator: StepSeparator = None,
    ppm: ScorerName = DEFAULT_SCORER,
    scorer_kind: ScorerKindName = None,
    aggregate: AggregateName = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            help="Data type of the models. [default: float32 on a CPU, else the model's own]", rich_help_panel=MODELS
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="With --retriever: maximum number of steps. [default: 5]",
            min=1,
            rich_help_panel=RETRIEVAL,
            show_default=False,
        ),
    ] = None,
    concurrency: Concurrency = 64,
    ray: RayAddress = None,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options
) -> None:
    """Measure strategies on data sets: accuracy with intervals, pass@k, consensus@k, best-of-k, calibration and cost.

    `treestar bench compare A B` compares two runs on the same problems. `treestar bench processbench` and `prmbench`
    measure a scorer on single steps.
    """
    from treestar.benchmarks.datasets import load_problems
    from treestar.benchmarks.matrix import BenchmarkConfig, matrix
    from treestar.benchmarks.task import open_benchmark_worker
    from treestar.policy.load import read_step_format

    cluster = ray_config(ray, options)
    retrieval = retrieval_config(options)
    if retrieval is not None:
        step_format = step_format or "retrieval"
        options |= {} if steps is None else {"max_depth": steps}
    elif steps is not None:
        raise typer.BadParameter("--steps is for retrieval: also give --retriever")
    fetch_base(policy)
    if temperature is None:
        temperature = str(read_step_format(policy, step_format).recommended.temperature)
    try:
        config = BenchmarkConfig(
            datasets=tuple(datasets),
            strategies=tuple(each.strip() for each in strategy.split(",")),
            samples=samples,
            k=numbers("--k", k, int),
            temperatures=numbers("--temperature", temperature, float),
            budget_tokens=numbers("--budget-tokens", budget_tokens, int),
            thinking_budgets=numbers("--thinking-budgets", thinking_budgets, int),
            seeds=seeds,
            limit=limit,
            search=options,
        )
        matrix(config)  # raises for a value that a strategy does not allow
        scorer = scorer_name(policy, ppm, [STRATEGIES[each][0] for each in config.strategies])
        for each in config.strategies:
            check_scorer(each, scorer is not None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(stderr=True, soft_wrap=True)
    sets = [load_problems(name, data_dir, limit) for name in config.datasets]
    passages = None
    if retrieval is not None:
        from treestar.benchmarks.passages import passages_for

        sets, passages, left_out = passages_for(sets, retrieval)
        if left_out:
            console.print(f"{left_out:,} questions without paragraphs are left out", highlight=False)
    opening = partial(
        open_benchmark_worker, policy, step_format, scorer, dtype, step_separator, scorer_kind, aggregate, passages
    )

    async def work() -> dict[str, Any]:
        remark = partial(console.print, highlight=False, markup=False)
        async with open_workers(opening, concurrency, cluster, remark) as workers:
            return await measure(out, config, sets, workers, resume, console)

    with resumable(out):
        settings = asyncio.run(work())
    conclude(out, config, settings, console)


async def measure(
    out: Path,
    config: BenchmarkConfig,
    sets: Sequence[ProblemSet],
    workers: Workers[BenchmarkTask, Row],
    resume: bool,
    console: Console,
) -> dict[str, Any]:
    """Run what is not finished in `out`, and show how that goes; returns the content of config.json."""
    from treestar.benchmarks.matrix import matrix
    from treestar.benchmarks.runner import add_session, begin_run, run_benchmark, unfinished_problems
    from treestar.benchmarks.scoring import own_answer_right

    settings = begin_run(out, config, sets, workers.about, resume)
    left, cells = unfinished_problems(out, config, sets), matrix(config)
    sizes = {each.name: len(each.problems) for each in sets}
    total = sum(sizes[cell.dataset] for cell in cells)
    line = f"{total:,} problems in {len(cells)} cells, {left.total():,} of them unfinished"
    console.print(line, highlight=False, markup=False)
    started = time.perf_counter()
    progress = BenchmarkProgress(console, total, total - left.total())
    seconds: list[float] = []

    def on_row(task: BenchmarkTask, row: Row) -> None:
        seconds.append(row["stats"]["seconds"])
        right = own_answer_right(row, config)
        progress.on_row(task.cell.key, left[task.cell.key], right, row["stats"]["generated_tokens"])

    try:
        with progress:
            await run_benchmark(out, config, sets, workers, on_row)
    finally:
        if seconds:  # not where another process is at work
            add_session(out, shlex.join(["treestar", *sys.argv[1:]]), started, seconds)
    return settings


@bench.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(help="The folder of another run, or of the same run.")],
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Compare these two answers, each TASK or TASK,FILTER. Without it, all that both runs have in common."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON array to stdout.")] = False,
) -> None:
    """Compare two runs on the same problems: paired differences with bootstrap intervals and McNemar's test."""
    from treestar.benchmarks.compare import compare_runs

    found = compare_runs(first, second, pair)
    if json_:
        print(json.dumps(found, indent=2))
        return
    for compared in found:
        print(comparison_line(compared))


def comparison_line(compared: dict[str, Any]) -> str:
    low, high = compared["interval"]
    line = (
        f"{compared['first']} - {compared['second']}: {compared['difference']:+.4f} ({low:+.4f} to {high:+.4f}), "
        f"n = {compared['n']}"
    )
    if "mcnemar" in compared:
        test = compared["mcnemar"]
        line += f"; only first {test['only_first']}, only second {test['only_second']}, p = {test['p_value']:.3g}"
    return line


def numbers(flag: str, text: str, kind: type[NumberT]) -> tuple[NumberT, ...]:
    """The numbers in `1,4,16`. Raises typer.BadParameter."""
    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{flag} takes comma-separated numbers, not {text!r}") from error


def conclude(out: Path, config: BenchmarkConfig, settings: dict[str, Any], console: Console) -> None:
    """Compute and write results.json, the plots and report.md, and print the accuracies."""
    from treestar.benchmarks.plots import draw_plots
    from treestar.benchmarks.report import render_report, summary_lines
    from treestar.benchmarks.results import compute_results
    from treestar.storage.files import write_json, write_text, writing

    results = compute_results(out / "samples.jsonl", settings, config)
    with writing(out):
        write_json(out / "results.json", results)
        files: Sequence[Path] = []
        try:
            files = draw_plots(results, config, out / "plots")
        except TreestarError as error:
            console.print(f"no plots: {error}", highlight=False)
        report = render_report(results, config, [str(path.relative_to(out)) for path in files])
        write_text(out / "report.md", report)
    for line in summary_lines(results):
        print(line)
    console.print(f"written: {out / 'report.md'}", highlight=False, markup=False)
