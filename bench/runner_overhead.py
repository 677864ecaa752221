"""Measure the benchmark runner's own share of a run's time, with the toy policy.

    python bench/runner_overhead.py [--problems 8] [--samples 64]

The runner's share: grouping and grading every trajectory, making and writing the line of each problem, and finally
computing all figures with their intervals, drawing the plots and writing the report. Time in which a line waits for the
grader counts in full, although the policy continues to generate meanwhile, so the share is an upper bound.
Writes bench/results/runner_overhead.json.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from treestar.benchmarks import load_problems, runner, task, write_record
from treestar.benchmarks.matrix import BenchmarkConfig
from treestar.benchmarks.plots import draw_plots
from treestar.benchmarks.report import render_report
from treestar.benchmarks.results import compute_results
from treestar.policy import load_policy
from treestar.sandbox import SandboxExecutor
from treestar.search import Components
from treestar.storage import lines as storage_lines
from treestar.types import State
from treestar.verifier import AnswerVerifier
from treestar.workers import LocalWorkers

DATASETS = ("rg:leg_counting:mid", "rg:chain_sum:mid")
ABOUT = {"policy": "toy", "ppm": None}
"""What the runner asks its workers about."""


class Stopwatch:
    """Adds up the seconds of the calls it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def awaited(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return await function(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed

    def called(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


async def run(config: BenchmarkConfig, out: Path, sets: list[Any]) -> float:
    """Seconds of the run, without loading the model."""
    policy = load_policy("toy", dtype="float32")
    components = Components(policy, SandboxExecutor(), AnswerVerifier())
    await components.verifier.equivalent("x + 1", "y")  # starts the grader
    interpreter = await components.executor.open()
    await interpreter.run("x = 1", None)  # starts the sandbox
    await interpreter.close()
    started = time.perf_counter()
    try:
        worker = task.benchmark_worker(components, lambda problem: policy.format.prompt(State(problem)), ABOUT)
        await runner.run_benchmark(out, config, sets, LocalWorkers(worker, 64))
        return time.perf_counter() - started
    finally:
        await components.executor.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=8, help="of each data set")
    parser.add_argument("--samples", type=int, default=64)
    arguments = parser.parse_args()
    ks = tuple(k for k in (1, 4, 16, 64) if k <= arguments.samples)
    config = BenchmarkConfig(datasets=DATASETS, samples=arguments.samples, k=ks, limit=arguments.problems)
    sets = [load_problems(name, limit=arguments.problems) for name in DATASETS]
    lines = Stopwatch()
    task.make_row = lines.awaited(task.make_row)
    storage_lines.append_line = lines.called(storage_lines.append_line)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        settings = runner.begin_run(out, config, sets, {"name": "toy", "num_fewshot": 0}, resume=False)
        seconds = asyncio.run(run(config, out, sets))
        started = time.perf_counter()
        results = compute_results(out / "samples.jsonl", settings, config)
        figures_seconds = time.perf_counter() - started
        files = draw_plots(results, config, out / "plots")
        render_report(results, config, [str(path) for path in files])
        conclusion_seconds = time.perf_counter() - started
    tokens = sum(
        found["generated_tokens,none"] * results["n-samples"][task]["effective"]
        for task, found in results["results"].items()
    )
    figures = {
        "problems": sum(len(each.problems) for each in sets),
        "samples": arguments.samples,
        "generated_tokens": round(tokens),
        "run_seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds),
        "lines_seconds": round(lines.seconds, 3),
        "lines_share": round(lines.seconds / seconds, 4),
        "figures_seconds": round(figures_seconds, 2),
        "plots_and_report_seconds": round(conclusion_seconds - figures_seconds, 2),
        "share_with_figures_and_plots": round((lines.seconds + conclusion_seconds) / (seconds + conclusion_seconds), 4),
    }
    write_record(Path(__file__).parent / "results" / "runner_overhead.json", figures, seed=0)


if __name__ == "__main__":
    main()
