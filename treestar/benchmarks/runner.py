"""Runs the cells of a benchmark and writes each finished problem immediately, so that a killed run can be resumed.

    OUT/config.json       the configuration: written first, compared when a run is resumed
    OUT/samples.jsonl     one line per finished problem of each cell
    OUT/provenance.json   time, machine and duration: one entry per session; no other file depends on time or machine
    OUT/results.json      the metrics, computed only from config.json and samples.jsonl (`results`)
    OUT/report.md, OUT/plots/*.png   the same for human readers

Tasks are passed to the workers one by one, and finished tasks are not kept, so memory does not grow with the number of
problems.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.matrix import BenchmarkConfig, Cell, matrix
from treestar.benchmarks.samples import Row, doc_hash, finished_keys, tokens_of_searches
from treestar.benchmarks.task import BenchmarkTask
from treestar.config.renamed import current_names
from treestar.search.engine import check_scorer
from treestar.storage.files import locked, read_json, write_json, writing
from treestar.storage.lines import appending
from treestar.storage.record import machine, versions
from treestar.storage.settings import check_same_settings, read_settings
from treestar.types import Problem, TreestarError
from treestar.workers import Workers

__all__ = ["CONFIG", "SAMPLES", "Progress", "add_session", "begin_run", "run_benchmark", "unfinished_problems"]

CONFIG, SAMPLES, PROVENANCE = "config.json", "samples.jsonl", "provenance.json"

JUDGED_BY = (*("entry_point", "tests", "public_tests", "time_limit", "memory_limit"), *("answer_aliases", "paragraphs"))
"""Fields of a problem on which its figures depend, besides the question and the gold answer."""

Progress = Callable[[BenchmarkTask, Row], None]
"""Called with each task and its row as it finishes."""


def begin_run(
    out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet], model: Mapping[str, Any], resume: bool
) -> dict[str, Any]:
    """Create the folder of a run, or check that it contains the same run; returns the content of config.json.

    Args:
        model: the names and settings of the policy and the PPM, and `num_fewshot`.
        resume: continue the run in `out`, if any.

    Raises:
        TreestarError: `out` contains a run and `resume` is false, the run has another configuration or none, its
            provenance.json is damaged, or `out` cannot be written.
    """
    settings: dict[str, Any] = {
        "config": config.to_json(),
        "model": dict(model),
        "sets": {
            each.name: {
                "original": each.original,
                "effective": len(each.problems),
                "without_answer": each.without_answer,
                "digest": digest(each),
                "judged_by": digest_of_tests(each),
            }
            for each in sets
        },
    }
    settings = json.loads(json.dumps(settings))  # as it is read back
    path = out / CONFIG
    if (out / SAMPLES).exists():
        if not resume:
            raise TreestarError(
                f"{out} already contains a benchmark run: give --resume to continue it, or another --out"
            )
        begun = read_settings(path)
        try:
            begun["config"]["search"] = current_names(begun["config"]["search"])
            check_same_settings(out, begun, settings)
        except (KeyError, TypeError, AttributeError) as error:
            raise TreestarError(f"{path} is not the file of a benchmark run: {error}") from error
        read_sessions(out / PROVENANCE)
    with writing(path):
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
    return settings


def digest(problems: ProblemSet) -> str:
    """A digest of all problems of a set, in order."""
    return doc_hash(Problem("".join(map(doc_hash, problems.problems)), problems.name))


def digest_of_tests(problems: ProblemSet) -> str | None:
    """A digest of what the answers are judged by besides the gold answer, and of what comes with the questions; None
    where that is nothing."""
    found = [{name: each.metadata.get(name) for name in JUDGED_BY} for each in problems.problems]
    if not any(value is not None for each in found for value in each.values()):
        return None
    return doc_hash(Problem(json.dumps(found, default=str), problems.name))


def unfinished_problems(out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet]) -> Counter[str]:
    """The number of unfinished problems of each cell.

    Raises:
        TreestarError: samples.jsonl cannot be read.
    """
    finished = finished_keys(out / SAMPLES)
    sizes = {each.name: len(each.problems) for each in sets}
    left = Counter({cell.key: sizes[cell.dataset] for cell in matrix(config)})
    left.subtract(cell for cell, _ in finished)
    return left


async def run_benchmark(
    out: Path,
    config: BenchmarkConfig,
    sets: Sequence[ProblemSet],
    workers: Workers[BenchmarkTask, Row],
    on_row: Progress = lambda _task, _row: None,
) -> None:
    """Run every unfinished task: first the searches, then the sampling, which gets as many tokens as the search that it
    is compared with.

    Args:
        out: a folder created or checked by `begin_run`.
        workers: opened with `task.open_benchmark_worker`.

    Raises:
        ValueError: a strategy needs a PPM, and the workers have none.
        TreestarError: the policy or the sandbox failed permanently, or samples.jsonl cannot be written, or another
            process runs in `out`. Lines that were already written stay valid.
    """
    for strategy in config.strategies:
        check_scorer(strategy, workers.about["ppm"] is not None)
    with locked(out):
        for sampling in (False, True):
            cells = [cell for cell in matrix(config) if (cell.method == "sampling") == sampling]
            await run_tasks(unfinished_tasks(out, config, sets, cells), workers, out, on_row)


def unfinished_tasks(
    out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet], cells: Sequence[Cell]
) -> Iterator[BenchmarkTask]:
    """The unfinished tasks of `cells`, one by one."""
    finished = finished_keys(out / SAMPLES)
    spent = tokens_of_searches(out / SAMPLES, {cell.key: cell for cell in matrix(config)})
    of_set = {each.name: each.problems for each in sets}
    for cell in cells:
        for doc_id, problem in enumerate(of_set[cell.dataset]):
            if (cell.key, doc_id) in finished:
                continue
            tokens = 0
            if cell.method == "sampling":
                searched = spent.get((cell.dataset, cell.temperature, cell.seed, doc_id), {})
                tokens = max((*config.budget_tokens, *searched.values()), default=0)
            yield BenchmarkTask(cell, doc_id, problem, tokens)


async def run_tasks(
    tasks: Iterator[BenchmarkTask], workers: Workers[BenchmarkTask, Row], out: Path, on_row: Progress
) -> None:
    """Run `tasks`, and append a line to samples.jsonl as each finishes."""
    with appending(out / SAMPLES) as append:

        def keep(task: BenchmarkTask, row: Row) -> None:
            append(row)
            on_row(task, row)

        await workers.run(tasks, keep)


def add_session(out: Path, command: str, started: float, seconds: Sequence[float]) -> None:
    """Append a finished session of this run to provenance.json. Raises TreestarError if it cannot be written.

    Args:
        seconds: how long each problem took, from its first request to its answer.
    """
    path = out / PROVENANCE
    session = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "problems": len(seconds),
        "total_evaluation_time_seconds": round(time.perf_counter() - started, 1),
        "latency_seconds": {name: round(q, 3) for name, q in percentiles(seconds).items()},
        "machine": machine(),
        "versions": versions(),
    }
    with writing(path):
        write_json(path, [*read_sessions(path), session])


def read_sessions(path: Path) -> list[Any]:
    """The earlier sessions of a run. Raises TreestarError if their file is damaged."""
    try:
        return list(read_json(path)) if path.exists() else []
    except (OSError, ValueError, TypeError) as error:
        raise TreestarError(
            f"{path} is damaged: put it back, or delete it, which loses only the times of earlier sessions"
        ) from error


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile; {} without any."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {"median": ordered[len(ordered) // 2], "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]}
