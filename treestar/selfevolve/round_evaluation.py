"""Evaluates a round's policy and PPM on problems never trained on: accuracy by cell, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

from treestar.components import open_components
from treestar.policy.models import Dtype
from treestar.search import GreedyConfig, SearchConfig, search_one
from treestar.selfevolve.backends import Backends
from treestar.selfevolve.job import EvaluationConfig, Measure
from treestar.storage.table import Row, Schema, Table, timed_appending
from treestar.types import Problem
from treestar.workers import Worker, Workers

__all__ = ["EVALUATION", "evaluation_report", "measure", "open_measuring_worker", "unmeasured"]

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
"""One row per search of an evaluation problem."""


@dataclass(frozen=True, slots=True)
class MeasuringTask:
    """One search of an evaluation problem."""

    cell: str
    problem: Problem
    seed: int


def search_of(measure: Measure, config: EvaluationConfig) -> SearchConfig:
    """The search of a measure: the search at test time, or a greedy trajectory with the same length limits."""
    if measure != "greedy":
        return config.search
    return GreedyConfig(**{field.name: getattr(config.search, field.name) for field in fields(SearchConfig)})


async def measure(
    name: Measure,
    config: EvaluationConfig,
    problems: Mapping[str, Sequence[Problem]],
    workers: Workers[MeasuringTask, Row],
    table: Table,
    on_row: Callable[[Row], None],
) -> None:
    """Search the `problems` of every cell with every seed into `table`. Existing rows are not searched again.

    Args:
        workers: opened with `open_measuring_worker` for the same measure.

    Raises:
        TreestarError: a model or the sandbox failed permanently, or a row cannot be written. Stored rows are kept.
    """
    await workers.run(unmeasured(name, config, problems, table), timed_appending(table, on_row))


@asynccontextmanager
async def open_measuring_worker(
    name: Measure, config: EvaluationConfig, backends: Backends, policy: str, ppm: str | None, dtype: Dtype | None
) -> AsyncIterator[Worker[MeasuringTask, Row]]:
    """The worker that searches evaluation problems, with models given by name."""
    search = search_of(name, config)
    async with open_components(backends.components(policy, ppm, dtype)) as components:

        async def work(task: MeasuringTask) -> Row:
            result = await search_one(task.problem, search, components, task.seed)
            return {
                "measure": name,
                "cell": task.cell,
                "problem_id": task.problem.id,
                "seed": task.seed,
                "answer": result.answer,
                "right": bool(result.correct),
                "generated_tokens": result.stats.generated_tokens,
                "scored_tokens": result.stats.scored_tokens,
            }

        yield Worker(work, {"policy": components.policy.name})


def unmeasured(
    name: Measure, config: EvaluationConfig, problems: Mapping[str, Sequence[Problem]], table: Table
) -> list[MeasuringTask]:
    """The remaining searches. A greedy one does not depend on the seed, so one is enough."""
    return [
        MeasuringTask(cell, problem, seed)
        for seed in range(1 if name == "greedy" else config.seeds)
        for cell, of_cell in problems.items()
        for problem in of_cell
        if (name, cell, problem.id, seed) not in table
    ]


def evaluation_report(table: Table) -> dict[str, dict[str, Any]]:
    """For each measure and cell the accuracy over its problems, with a 95% interval, and its cost."""
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
    """The mean over problems and its 95% interval."""
    from treestar.statistics import share_interval

    return {
        "problems": len(of_problem),
        "accuracy": sum(of_problem) / len(of_problem),
        "interval": list(share_interval(of_problem)),
    }
