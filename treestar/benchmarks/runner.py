"""Runs the cells of a benchmark and writes down every finished problem at once, so that a killed run can go on.

    OUT/config.json       what is measured: written first, compared when a run goes on
    OUT/samples.jsonl     a line for each finished problem of each cell
    OUT/provenance.json   when, where and how long: a list of sessions; nothing else depends on time or machine
    OUT/results.json      the figures, computed from config.json and samples.jsonl alone (`results`)
    OUT/report.md, OUT/plots/*.png   the same for people

Problems are fed to `concurrency` workers one by one; nothing of a finished one is kept, so memory does not grow with
their number.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.matrix import BenchmarkConfig, Cell, matrix
from treestar.benchmarks.record import machine, versions
from treestar.benchmarks.samples import Row, append_row, doc_hash, finished_keys, make_row, tokens_of_searches
from treestar.search import Components, SearchResult, search_one
from treestar.search.engine import check_scorer
from treestar.types import Problem, TreestarError
from treestar.verifier.unit_tests import UnitTestVerifier

__all__ = ["Job", "Progress", "add_session", "begin_run", "run_benchmark", "unfinished_problems", "write_json"]

CONFIG, SAMPLES, PROVENANCE = "config.json", "samples.jsonl", "provenance.json"

SEED_STRIDE = 1_000_000
"""Distance between the seeds of a cell's searches where a token budget needs more samples than `samples`."""

Progress = Callable[["Job", Row], None]
"""Called with each problem as it is finished."""


@dataclass(frozen=True, slots=True)
class Job:
    """One problem of one cell."""

    cell: Cell
    doc_id: int
    """The problem's place in its data set."""
    problem: Problem
    tokens: int = 0
    """Sampling goes on until at least this many tokens are generated, so that every budget can be served from it."""


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
    components: Components,
    prompt: Callable[[Problem], str],
    concurrency: int = 64,
    on_row: Progress = lambda _job, _row: None,
) -> None:
    """Run every job that is not finished yet: first the searches, then the sampling, which gets the tokens of a search
    where it is compared with one.

    Args:
        out: a folder that `begin_run` has made or checked.
        prompt: the text from which the policy continues a problem's first step.
        concurrency: most problems at the same time.

    Raises:
        ValueError: a strategy needs a PPM, and `components` has none.
        TreestarError: the policy or the sandbox failed for good, or samples.jsonl cannot be written. What was written
            before stays valid.
    """
    for strategy in config.strategies:
        check_scorer(strategy, components.scorer is not None)
    for sampling in (False, True):
        cells = [cell for cell in matrix(config) if (cell.method == "sampling") == sampling]
        await run_jobs(unfinished_jobs(out, config, sets, cells), components, prompt, out, concurrency, on_row)


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


async def run_jobs(
    jobs: Iterator[Job],
    components: Components,
    prompt: Callable[[Problem], str],
    out: Path,
    concurrency: int,
    on_row: Progress,
) -> None:
    """Run `jobs`, at most `concurrency` at the same time, and append a line to samples.jsonl as each is finished."""
    try:
        file = (out / SAMPLES).open("a", encoding="utf-8")
    except OSError as error:
        raise TreestarError(f"samples cannot be written to {out / SAMPLES}: {error.strerror or error}") from error
    tests = replace(components, verifier=UnitTestVerifier(components.executor))

    async def work() -> None:
        for job in jobs:  # all workers take from the same iterator
            row = await run_job(job, tests if job.problem.kind == "code" else components, prompt)
            append_row(file, row)
            on_row(job, row)

    with file:
        workers = [asyncio.create_task(work()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def run_job(job: Job, components: Components, prompt: Callable[[Problem], str]) -> Row:
    results = await search(job, components)
    has_scorer = components.scorer is not None
    return await make_row(job.cell, job.doc_id, prompt(job.problem), results, components.verifier, has_scorer)


async def search(job: Job, components: Components) -> list[SearchResult]:
    """One search; more of them with other seeds while the samples have fewer tokens than the largest budget."""
    results: list[SearchResult] = []
    spent = 0
    while not results or (spent < job.tokens and results[-1].stats.generated_tokens > 0):
        seed = job.cell.seed + SEED_STRIDE * len(results)
        results.append(await search_one(job.problem, job.cell.config, components, seed))
        spent += results[-1].stats.generated_tokens
    return results


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
