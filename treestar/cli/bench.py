"""`treestar bench`: measure strategies on data sets, and compare two such runs."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer
from rich.console import Console
from typer.core import TyperGroup

from treestar.cli.bench_progress import BenchmarkProgress
from treestar.cli.components import PolicyName, PPMName, StepFormatName, report_repeats
from treestar.cli.options import with_config_options
from treestar.policy import FormatName, TransformersPolicy, load_policy
from treestar.policy.load import Dtype
from treestar.ppm import load_scorer
from treestar.search import STRATEGIES, Components
from treestar.search.engine import check_scorer
from treestar.types import Problem, Scorer, State, TreestarError

if TYPE_CHECKING:
    from treestar.benchmarks.matrix import BenchmarkConfig
    from treestar.benchmarks.runner import Job
    from treestar.benchmarks.samples import Row
    from treestar.policy.load import LanguageModelPolicy

__all__ = ["bench"]

NumberT = TypeVar("NumberT", int, float)


class RunByDefault(TyperGroup):
    """`treestar bench gsm8k` is `treestar bench run gsm8k`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if known else ["run", *args])


bench = typer.Typer(cls=RunByDefault, help="Measure strategies on data sets, or compare two such runs.")


@bench.command()
@with_config_options(
    *(config_class for config_class, _ in STRATEGIES.values()),
    without=("samples", "temperature", "generated_tokens", "gold"),
)
def run(
    datasets: Annotated[
        list[str], typer.Argument(help="gsm8k, math500, ..., rg:FAMILY[:LEVEL], jsonl:PATH, hf:NAME[:CONFIG][@SPLIT].")
    ],
    out: Annotated[Path, typer.Option(help="Folder for results.json, samples.jsonl, report.md and plots.")],
    strategy: Annotated[
        str, typer.Option(help=f"Strategies, with commas, of {', '.join(STRATEGIES)}.")
    ] = "greedy,majority,best_of_n,mcts",
    samples: Annotated[int, typer.Option(help="Independent trajectories a problem.")] = 16,
    k: Annotated[str, typer.Option(help="The ks of pass@k, consensus@k and best-of-k, with commas.")] = "1,4,16",
    temperature: Annotated[str, typer.Option(help="Sampling temperatures, with commas.")] = "1.0",
    budget_tokens: Annotated[
        str, typer.Option(help="Generated tokens a problem at which all strategies are compared, with commas.")
    ] = "",
    seeds: Annotated[int, typer.Option(help="Repetitions, with seeds 0, 1, ...")] = 1,
    limit: Annotated[int | None, typer.Option(help="Only the first so many problems of each data set.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the named sets as JSON Lines; without it, the Hugging Face hub.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that --out holds.")] = False,
    policy: PolicyName = "embedded",
    step_format: StepFormatName = None,
    ppm: PPMName = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(help="The models' arithmetic. [default: float32 on a CPU, else the model's own]"),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Most problems at the same time.", min=1)] = 64,
    options: dict[str, Any] = {},  # noqa: B006  # filled by with_config_options, never changed
) -> None:
    """Measure strategies on data sets: accuracy with intervals, pass@k, consensus@k, best-of-k, calibration and cost.

    `treestar bench compare A B` compares two such runs on the same problems.
    """
    from treestar.benchmarks.datasets import load_problems
    from treestar.benchmarks.matrix import BenchmarkConfig, matrix
    from treestar.benchmarks.runner import add_session, begin_run, run_benchmark, unfinished_problems
    from treestar.benchmarks.scoring import own_answer_right

    try:
        config = BenchmarkConfig(
            datasets=tuple(datasets),
            strategies=tuple(strategy.split(",")),
            samples=samples,
            k=numbers("--k", k, int),
            temperatures=numbers("--temperature", temperature, float),
            budget_tokens=numbers("--budget-tokens", budget_tokens, int),
            seeds=seeds,
            limit=limit,
            search=options,
        )
        cells = matrix(config)
        for each in config.strategies:
            check_scorer(each, ppm is not None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(stderr=True, soft_wrap=True)
    sets = [load_problems(name, data_dir, limit) for name in config.datasets]
    loaded = load(policy, step_format, dtype)
    scorer = None if ppm is None else load_scorer(ppm, dtype=dtype_of(loaded))
    settings = begin_run(out, config, sets, described(loaded, scorer), resume)
    left = unfinished_problems(out, config, sets)
    total = sum(len(each.problems) for each in sets for cell in cells if cell.dataset == each.name)
    console.print(f"{total:,} problems in {len(cells)} cells, {left.total():,} of them left to do", highlight=False)
    started = time.perf_counter()
    progress = BenchmarkProgress(console, total, total - left.total())

    def on_row(job: Job, row: Row) -> None:
        right = own_answer_right(row, config)
        progress.on_row(job.cell.key, left[job.cell.key], right, row["stats"]["generated_tokens"])

    def prompt(problem: Problem) -> str:
        return loaded.format.prompt(State(problem))

    async def work() -> None:
        async with components_of(loaded, scorer) as components:
            await run_benchmark(out, config, sets, components, prompt, concurrency, on_row)

    try:
        with progress:
            asyncio.run(work())
    except KeyboardInterrupt:
        raise TreestarError(f"interrupted; the same command with --resume goes on: {out}") from None
    finally:
        add_session(out, shlex.join(["treestar", *sys.argv[1:]]), started, sum(progress.asked.values()))
        report_repeats((loaded, scorer), console)
    conclude(out, config, settings, console)


@bench.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(help="The folder of another, or of the same.")],
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Compare these two answers, each as TASK or TASK,FILTER; else all that both have."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="A JSON array on stdout.")] = False,
) -> None:
    """The paired differences between two runs on the same problems: bootstrap interval and McNemar's test."""
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
        raise typer.BadParameter(f"{flag} takes numbers with commas between them, not {text!r}") from error


def load(policy: str, step_format: FormatName | None, dtype: Dtype | None) -> LanguageModelPolicy:
    """The policy; on a CPU by default in float32, in which a text hardly ever hangs on what else is in the batch."""
    loaded = load_policy(policy, step_format, dtype=dtype)
    if dtype is None and isinstance(loaded, TransformersPolicy) and loaded.model.device.type == "cpu":
        loaded.model.float()
    return loaded


def dtype_of(policy: LanguageModelPolicy) -> Dtype | None:
    """The policy's arithmetic; None behind a server, which does not tell."""
    if not isinstance(policy, TransformersPolicy):
        return None
    return cast(Dtype, str(policy.model.dtype).removeprefix("torch."))


def described(policy: LanguageModelPolicy, scorer: Scorer | None) -> dict[str, Any]:
    """What results hang on besides the configuration."""
    from treestar.policy.format import EXAMPLES

    return {
        "name": policy.name,
        "dtype": dtype_of(policy),
        "step_format": policy.format.name,
        "ppm": None if scorer is None else scorer.name,
        "num_fewshot": len(EXAMPLES) if policy.format.name == "chat" else 0,
    }


@asynccontextmanager
async def components_of(policy: LanguageModelPolicy, scorer: Scorer | None) -> AsyncIterator[Components]:
    """The models with a sandbox and a grader, which are closed afterwards."""
    from treestar.verifier import AnswerVerifier
    from treestar.verifier.sandbox import SandboxExecutor

    components = Components(policy, SandboxExecutor(), AnswerVerifier(), scorer)
    try:
        yield components
    finally:
        await components.close()


def conclude(out: Path, config: BenchmarkConfig, settings: dict[str, Any], console: Console) -> None:
    """Compute and write results.json, the plots and report.md, and say the accuracies."""
    from treestar.benchmarks.plots import draw_plots
    from treestar.benchmarks.report import render_report, summary_lines
    from treestar.benchmarks.results import compute_results
    from treestar.benchmarks.runner import write_json

    results = compute_results(out / "samples.jsonl", settings, config)
    try:
        write_json(out / "results.json", results)
        files: Sequence[Path] = []
        try:
            files = draw_plots(results, config, out / "plots")
        except TreestarError as error:
            console.print(f"no plots: {error}", highlight=False)
        report = render_report(results, config, [str(path.relative_to(out)) for path in files])
        (out / "report.md").write_text(report, encoding="utf-8")
    except OSError as error:
        raise TreestarError(f"results cannot be written to {out}: {error.strerror or error}") from error
    for line in summary_lines(results):
        print(line)
    console.print(f"written: {out / 'report.md'}", highlight=False)
