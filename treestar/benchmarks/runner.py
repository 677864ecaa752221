"""Runs the cells of a benchmark and writes down every finished problem at once, so that a killed run can go on.

    OUT/config.json       what is measured: written first, compared when a run goes on
    OUT/samples.jsonl     a line for each finished problem of each cell
    OUT/provenance.json   when, where and how long: a list of sessions; nothing else depends on time or machine
    OUT/results.json      the figures, computed from config.json and samples.jsonl alone (`results`)
    OUT/report.md, OUT/plots/*.png   the same for people

Problems are fed to the workers one by one; nothing of a finished one is kept, so memory does not grow with their
number.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.job import Job
from treestar.benchmarks.matrix import BenchmarkConfig, Cell, matrix
from treestar.benchmarks.samples import Row, append_row, doc_hash, finished_keys, tokens_of_searches
from treestar.config.renamed import current_names
from treestar.search.engine import check_scorer
from treestar.storage.record import machine, versions
from treestar.types import Problem, TreestarError
from treestar.workers import Workers

__all__ = ["Progress", "add_session", "begin_run", "run_benchmark", "unfinished_problems", "write_json"]

CONFIG, SAMPLES, PROVENANCE = "config.json", "samples.jsonl", "provenance.json"

Progress = Callable[[Job, Row], None]
"""Called with each problem as it is finished."""


def begin_run(
    out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet], model: Mapping[str, Any], resume: bool
) -> dict[str, Any]:
    """Make the folder of a run, or check that the run in it is the same; returns what config.json holds.

    Args:
        model: what is known of the policy and the PPM: their names and settings, `num_fewshot`.
        resume: go on with the run that `out` holds, where it holds one.

    Raises:
        TreestarError: `out` holds a run and `resume` is false, or it was made with another configuration, or it cannot
            be written.
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
            }
            for each in sets
        },
    }
    settings = json.loads(json.dumps(settings))  # as it is read back
    path = out / CONFIG
    try:
        if path.exists() and (out / SAMPLES).exists():
            if not resume:
                raise TreestarError(f"{out} holds a benchmark run: give --resume to go on with it, or another --out")
            check_same(json.loads(path.read_text(encoding="utf-8")), settings, out)
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
    except (OSError, ValueError) as error:
        raise TreestarError(f"{path} cannot be read or written: {error}") from error
    return settings


def check_same(found: Any, wanted: Mapping[str, Any], out: Path) -> None:
    found["config"]["search"] = current_names(found["config"]["search"])
    changed = [
        f"{part}.{name}"
        for part in wanted
        for name in wanted[part].keys() | found[part].keys()
        if found[part].get(name) != wanted[part].get(name)
    ]
    if changed:
        raise TreestarError(
            f"{out} was made with another configuration ({', '.join(sorted(changed))}): "
            "give the same to go on with it, or another --out"
        )


def digest(problems: ProblemSet) -> str:
    """A digest of all problems of a set, in their order."""
    return doc_hash(Problem("".join(map(doc_hash, problems.problems)), problems.name))


def unfinished_problems(out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet]) -> Counter[str]:
    """How many problems of every cell are left to do.

    Raises:
        TreestarError: samples.jsonl is no such file.
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
    workers: Workers[Job, Row],
    on_row: Progress = lambda _job, _row: None,
) -> None:
    """Run every job that is not finished yet: first the searches, then the sampling, which gets the tokens of a search
    where it is compared with one.

    Args:
        out: a folder that `begin_run` has made or checked.
        workers: opened with `job.open_benchmark_worker`.

    Raises:
        ValueError: a strategy needs a PPM, and the workers have none.
        TreestarError: the policy or the sandbox failed for good, or samples.jsonl cannot be written. What was written
            before stays valid.
    """
    for strategy in config.strategies:
        check_scorer(strategy, workers.about["ppm"] is not None)
    for sampling in (False, True):
        cells = [cell for cell in matrix(config) if (cell.method == "sampling") == sampling]
        await run_jobs(unfinished_jobs(out, config, sets, cells), workers, out, on_row)


def unfinished_jobs(
    out: Path, config: BenchmarkConfig, sets: Sequence[ProblemSet], cells: Sequence[Cell]
) -> Iterator[Job]:
    """The jobs of `cells` that are left to do, one after another."""
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
            yield Job(cell, doc_id, problem, tokens)


async def run_jobs(jobs: Iterator[Job], workers: Workers[Job, Row], out: Path, on_row: Progress) -> None:
    """Run `jobs`, and append a line to samples.jsonl as each is finished."""
    try:
        file = (out / SAMPLES).open("a", encoding="utf-8")
    except OSError as error:
        raise TreestarError(f"samples cannot be written to {out / SAMPLES}: {error.strerror or error}") from error

    def keep(job: Job, row: Row) -> None:
        append_row(file, row)
        on_row(job, row)

    with file:
        await workers.run(jobs, keep)


def write_json(path: Path, data: Any) -> None:
    """Write `data` so that `path` always holds either the old or the new text. Raises OSError."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def add_session(out: Path, command: str, started: float, problems: int) -> None:
    """Append to provenance.json that a session of this run has ended. Raises OSError."""
    path = out / PROVENANCE
    sessions = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    session = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "problems": problems,
        "total_evaluation_time_seconds": round(time.perf_counter() - started, 1),
        "machine": machine(),
        "versions": versions(),
    }
    write_json(path, [*sessions, session])
