"""Benchmarks of a scripted policy, whose trajectories are known: problems, a configuration, and one session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.scripted import components, random_script

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.matrix import BenchmarkConfig
from treestar.benchmarks.results import compute_results
from treestar.benchmarks.runner import begin_run, run_benchmark, write_json
from treestar.benchmarks.samples import Row
from treestar.benchmarks.task import BenchmarkTask, benchmark_worker
from treestar.search import Components
from treestar.types import Problem, State
from treestar.workers import LocalWorkers

MODEL = {"name": "scripted", "num_fewshot": 0}
LEVELS = ("easy", "hard")


def problem_set(name: str = "own", count: int = 6) -> ProblemSet:
    problems = [
        Problem(f"{name}: which {i}?", str(i % 3), f"{i}", metadata={"level": LEVELS[i % 2]}) for i in range(count)
    ]
    return ProblemSet(name, tuple(problems), count, 0)


def config(**changes: Any) -> BenchmarkConfig:
    settings = {"datasets": ("own",), "samples": 6, "k": (1, 2, 6), "search": {"max_depth": 6}, **changes}
    return BenchmarkConfig(**settings)


def scripted_workers(parts: Components, concurrency: int) -> LocalWorkers[BenchmarkTask, Row]:
    about = {"ppm": None if parts.scorer is None else parts.scorer.name}
    return LocalWorkers(benchmark_worker(parts, lambda problem: f"Q: {problem.question}", about), concurrency)


def run(
    out: Path,
    wanted: BenchmarkConfig,
    stop_after: int | None = None,
    resume: bool = False,
    concurrency: int = 4,
    rate: Callable[[State], float] | None = None,
    **script: Any,
) -> dict[str, Any]:
    """One session; with `stop_after` it fails in the middle, like a killed one."""
    sets = [problem_set(name) for name in wanted.datasets]
    model = MODEL if rate is None else MODEL | {"ppm": rate.__name__}
    settings = begin_run(out, wanted, sets, model, resume)
    left = stop_after

    def on_row(_task: object, _row: object) -> None:
        nonlocal left
        if left is not None and (left := left - 1) == 0:
            raise RuntimeError("killed")

    async def work() -> None:
        workers = scripted_workers(components(random_script(**script), rate), concurrency)
        await run_benchmark(out, wanted, sets, workers, on_row)

    asyncio.run(work())
    results = compute_results(out / "samples.jsonl", settings, wanted)
    write_json(out / "results.json", results)
    return results
