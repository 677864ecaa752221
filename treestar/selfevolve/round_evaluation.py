"""What a round's policy and PPM can do on problems that nothing is trained on: accuracy by cell, with intervals."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from treestar.search import Components, GreedyConfig, SearchConfig, search_one
from treestar.selfevolve.job import EvaluationConfig, Measure
from treestar.selfevolve.store import Row, Schema, Table
from treestar.types import Problem

__all__ = ["EVALUATION", "evaluation_report", "measure"]

EVALUATION = Schema(
    "evaluation",
    {
        "measure": "string",
        "cell": "string",
        "problem_id": "string",
        "seed": "int64",
        "answer": "string",
        "right": "bool",
        "generated_tokens": "int64",
        "scored_tokens": "int64",
        "wall_seconds": "float64",
    },
    key=("measure", "cell", "problem_id", "seed"),
)
"""A row a search of a measured problem."""


def search_of(measure: Measure, config: EvaluationConfig) -> SearchConfig:
    """The search behind a measure: a greedy trajectory as long as those of the search at test time, or that search."""
    if measure != "greedy":
        return config.search
    return GreedyConfig(**{field.name: getattr(config.search, field.name) for field in fields(SearchConfig)})


async def measure(
    name: Measure,
    config: EvaluationConfig,
    problems: Mapping[str, Sequence[Problem]],
    components: Components,
    table: Table,
    concurrency: int,
    on_row: Callable[[Row], None],
) -> None:
    """Search the `problems` of every cell with every seed into `table`. What is there already is not searched again.

    Raises:
        TreestarError: a model or the sandbox failed for good, or a row cannot be written. What was stored stays.
    """
    search = search_of(name, config)
    stored = time.perf_counter()

    async def work(jobs: Iterator[tuple[str, Problem, int]]) -> None:
        nonlocal stored
        for cell, problem, seed in jobs:  # all workers take from the same iterator
            result = await search_one(problem, search, components, seed)
            now = time.perf_counter()
            row = {
                "measure": name,
                "cell": cell,
                "problem_id": problem.id,
                "seed": seed,
                "answer": result.answer,
                "right": bool(result.correct),
                "generated_tokens": result.stats.generated_tokens,
                "scored_tokens": result.stats.scored_tokens,
                "wall_seconds": now - stored,
            }
            stored = now
            table.append(row)
            on_row(row)

    missing = iter(unmeasured(name, config, problems, table))
    workers = [asyncio.create_task(work(missing)) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def unmeasured(
    name: Measure, config: EvaluationConfig, problems: Mapping[str, Sequence[Problem]], table: Table
) -> list[tuple[str, Problem, int]]:
    """The searches that are left to do. A greedy one hangs on no seed, so one is enough."""
    return [
        (cell, problem, seed)
        for seed in range(1 if name == "greedy" else config.seeds)
        for cell, of_cell in problems.items()
        for problem in of_cell
        if (name, cell, problem.id, seed) not in table
    ]


def evaluation_report(table: Table) -> dict[str, dict[str, Any]]:
    """For each measure and cell the accuracy over its problems, with a 95% interval, and what it cost."""
    right: defaultdict[tuple[str, str], defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    tokens: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in table.rows():
        place = row["measure"], row["cell"]
        right[place][row["problem_id"]].append(row["right"])
        tokens[place] += row["generated_tokens"]
    report: dict[str, dict[str, Any]] = {}
    for (name, cell), of_problem in sorted(right.items()):
        figures = accuracy([sum(each) / len(each) for each in of_problem.values()])
        report.setdefault(name, {})[cell] = {**figures, "generated_tokens": tokens[name, cell]}
    return report


def accuracy(of_problem: Sequence[float]) -> dict[str, Any]:
    """The mean over problems and its 95% bootstrap interval."""
    import numpy as np

    from treestar.statistics import bootstrap_intervals

    [[low, high]] = bootstrap_intervals(np.array(of_problem)[:, None])
    return {
        "problems": len(of_problem),
        "accuracy": sum(of_problem) / len(of_problem),
        "interval": [float(low), float(high)],
    }
