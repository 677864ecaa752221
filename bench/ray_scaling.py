"""Measure what Ray costs compared with one process, and whether one driver feeds a cluster of 256 actors.

    python bench/ray_scaling.py overhead [--problems 200]
    python bench/ray_scaling.py cluster [--problems 1000000]

`overhead`: the same searches with the toy policy in one process and in Ray actors, on the same cores: one process,
one actor with all cores, and one actor per core. The times to start Ray and to load models are recorded separately. A
process's threads and an actor's CPUs are the cores of this process's affinity.

`cluster`: the real driver code of `treestar evolve` (the queue, Ray's calls, the Parquet store) on modeled searches. An
actor holds `--in-flight` problems and returns each after a latency drawn from its number, with the row of a real tree
of the toy policy whose digits are replaced so that no two rows are equal. Simulated are the latency, instead of
generation, and the actors: each of a few processes represents many (256 real ones do not fit on this machine), so the
driver has all calls of 256 actors in flight, but fewer connections. The latency is chosen so that the whole cluster
requests `--rate` problems per second. Measured are the share of the actors' slots that were filled until the queue was
empty, the driver's memory and CPU time, and the rows and bytes that were stored.

Writes bench/results/ray_scaling_overhead.json or ray_scaling_cluster.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from treestar.benchmarks.gym import make_problems
from treestar.components import ComponentsConfig, open_components
from treestar.search import MCTSConfig, search_one
from treestar.selfevolve.problems import problem_of_set
from treestar.selfevolve.search_phase import TREES, tree_row
from treestar.solver import SolveTask, open_solve_worker
from treestar.storage.record import write_record
from treestar.storage.table import Row, Table, timed_appending
from treestar.types import Problem
from treestar.workers import RayConfig, Worker, open_workers

RESULTS = Path(__file__).parent / "results"
CELLS = (("chain_sum", "mid"), ("basic_arithmetic", "mid"), ("leg_counting", "mid"))
POLICY = "toy"

SEARCH = MCTSConfig(max_rollouts=8, children=4, early_stop=False, in_flight=1)
SAMPLES = 100
"""Number of times per run that the driver's memory is read."""


def toy_problems(count: int) -> list[Problem]:
    each = -(-count // len(CELLS))
    made = [
        problem_of_set(problem, f"{family}/{level}")
        for family, level in CELLS
        for problem in make_problems(family, level, "validation", each, 7)
    ]
    return made[:count]


async def seconds_of(problems: list[Problem], concurrency: int, ray: RayConfig | None) -> dict[str, float]:
    """Seconds until everything is open, and from then until everything is searched."""
    opening = partial(open_solve_worker, ComponentsConfig(policy=POLICY), SEARCH, 0)
    tasks = [SolveTask(place, problem, with_tree=False) for place, problem in enumerate(problems)]
    answers: dict[str, str | None] = {}
    begun = time.perf_counter()
    async with open_workers(opening, concurrency, ray) as workers:
        # The sandboxes, the graders and the models' caches start with the first problems, in every worker.
        await workers.run(tasks[: 2 * concurrency], lambda _task, _found: None)
        started = time.perf_counter()
        await workers.run(tasks, lambda task, found: answers.update({task.problem.id: found[0].answer}))
        ended = time.perf_counter()
    assert len(answers) == len(problems)
    return {"start_seconds": round(started - begun, 1), "seconds": round(ended - started, 1)}


def overhead(arguments: argparse.Namespace) -> None:
    problems = toy_problems(arguments.problems)
    cores = len(os.sched_getaffinity(0))
    os.environ["OMP_NUM_THREADS"] = str(cores)
    ways: dict[str, RayConfig | None] = {"one process": None, "one actor": RayConfig(actors=1, actor_cpus=cores)}
    if cores > 1:
        ways["one actor a core"] = RayConfig(actors=cores)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, ray in ways.items():
            if ray is not None:
                os.environ.pop("OMP_NUM_THREADS", None)  # Ray gives each actor as many threads as CPUs
            found[name].append(asyncio.run(seconds_of(problems, arguments.in_flight, ray)))
            print(name, found[name][-1], flush=True)
    best = {name: min(each["seconds"] for each in runs) for name, runs in found.items()}
    figures = {
        "problems": len(problems),
        "cores": cores,
        "search": SEARCH.to_json(),
        "in_flight": arguments.in_flight,
        "runs": found,
        "over_one_process": {name: round(each / best["one process"] - 1, 4) for name, each in best.items()},
    }
    write_record(RESULTS / "ray_scaling_overhead.json", figures, seed=0)


@dataclass(frozen=True)
class Model:
    """The modeled cluster."""

    actors: int
    processes: int
    in_flight: int
    """Problems that an actor searches concurrently."""
    rate: float
    """Problems per second that the whole cluster finishes when all slots are filled."""

    @property
    def mean_seconds(self) -> float:
        """The latency of a search in seconds."""
        return self.actors * self.in_flight / self.rate

    def seconds_of(self, number: int) -> float:
        """From 0.5 to 1.5 times the mean, with a long tail: one in a hundred takes four times the mean."""
        numbers = random.Random(number)
        return self.mean_seconds * (4.0 if numbers.random() < 0.01 else numbers.uniform(0.5, 1.44))


@asynccontextmanager
async def open_modelled_worker(
    model: Model, rows: list[Row], copies: int
) -> AsyncIterator[Worker[int, tuple[Row, float, float]]]:
    """Represents `actors / processes` actors. Returns with each row the integral of its filled slots over time, and the
    clock."""
    filled, integral, since = 0, 0.0, time.time()

    def change(by: int) -> None:
        nonlocal filled, integral, since
        now = time.time()
        integral += filled * (now - since)
        filled, since = filled + by, now

    async def work(number: int) -> tuple[Row, float, float, int]:
        change(1)
        await asyncio.sleep(model.seconds_of(number))
        change(-1)
        row = rows[number % len(rows)]
        tree = "".join(row["tree"].translate(exchanged_digits(copies * number + copy)) for copy in range(copies))
        return {**row, "problem_id": f"{row['problem_id']}-{number}", "tree": tree}, integral, since, os.getpid()

    yield Worker(work, {"policy": "modelled"})  # type: ignore[arg-type]


def exchanged_digits(number: int) -> dict[int, str]:
    digits = list("0123456789")
    random.Random(number).shuffle(digits)
    return str.maketrans("0123456789", "".join(digits))


async def real_rows(count: int) -> list[Row]:
    """Rows of the table `trees`, from searches with the toy policy."""
    config = MCTSConfig(max_rollouts=16, children=8, early_stop=False, gold=True, in_flight=1)
    async with open_components(ComponentsConfig(policy=POLICY)) as parts:
        results = [await search_one(problem, config, parts) for problem in toy_problems(count)]
    return [tree_row(1, 0, result, 0, 0.1) for result in results]


def rows_of_trees(count: int) -> list[Row]:
    return asyncio.run(real_rows(count))


def parquet_bytes(rows: list[Row], folder: Path) -> int:
    """Bytes that a table of these rows takes on disk."""
    with Table(folder, TREES) as table:
        append = timed_appending(table, lambda _: None)
        for row in rows:
            append(None, row)
        table.seal()
    return sum(file.stat().st_size for file in folder.glob("*.parquet"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def simulate(model: Model, problems: int, rows: list[Row], copies: int, out: Path) -> dict[str, Any]:
    places = model.actors // model.processes * model.in_flight
    processor_seconds = time.process_time()
    memory: list[tuple[int, int]] = []
    first: dict[int, tuple[float, float]] = {}
    last: dict[int, tuple[float, float]] = {}
    taken = done = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        while taken < problems:
            taken += 1
            yield taken

    ray = RayConfig(actors=model.processes, actor_cpus=0, actor_gpus=0)
    with Table(out / "trees", TREES) as table:
        append = timed_appending(table, lambda _: None)

        def on_result(number: int, found: Any) -> None:
            nonlocal done
            row, integral, clock, process = found
            append(number, row)
            done += 1
            # The fill is counted from the end of the first searches until the queue is empty.
            if clock > warm and taken < problems:
                first.setdefault(process, (integral, clock))
                last[process] = (integral, clock)
            if done % max(1, problems // SAMPLES) == 0:
                memory.append((done, resident_bytes()))

        async with open_workers(partial(open_modelled_worker, model, rows, copies), places, ray, print) as workers:
            started = time.time()
            warm = started + 2 * model.mean_seconds
            await workers.run(tasks(), on_result)
            seconds = time.time() - started
        table.seal()
        processor_seconds = time.process_time() - processor_seconds
    spans = [(last[each][0] - first[each][0], last[each][1] - first[each][1]) for each in first]
    filled = sum(integral for integral, _ in spans) / (places * sum(span for _, span in spans))
    parquet = sum(file.stat().st_size for file in (out / "trees").glob("*.parquet"))
    later = [each for each in memory if each[0] >= problems // 2]
    grown = (later[-1][1] - later[0][1]) / (later[-1][0] - later[0][0])
    return {
        "seconds": round(seconds, 1),
        "problems_per_second": round(problems / seconds, 1),
        "filled_share_of_places": round(filled, 4),
        "memory_mib": {str(number): round(held / 2**20, 1) for number, held in memory[:: SAMPLES // 10]},
        "memory_bytes_a_problem_second_half": round(grown, 1),
        "driver_processor_ms_a_problem": round(1000 * processor_seconds / problems, 3),
        "parquet_bytes_a_problem": round(parquet / problems),
        "parquet_mib_per_second": round(parquet / 2**20 / seconds, 2),
    }


def allocated(make: Callable[[int], Any], count: int = 100_000) -> float:
    """Bytes per object in a list of many such objects."""
    tracemalloc.start()
    kept = [make(number) for number in range(count)]
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    return size


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def cluster(arguments: argparse.Namespace) -> None:
    model = Model(arguments.actors, arguments.processes, arguments.in_flight, arguments.rate)
    with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:  # the driver of a cluster loads no model
        rows = elsewhere.submit(rows_of_trees, arguments.trees).result()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        real_bytes = parquet_bytes(rows, Path(folder) / "real") / len(rows)
        found = asyncio.run(simulate(model, arguments.problems, rows, arguments.copies, Path(folder)))
    figures = {
        "model": {**asdict(model), "mean_seconds": model.mean_seconds},
        "problems": arguments.problems,
        "different_trees": len(rows),
        "row_json_bytes": round(mean(len(json.dumps(row)) for row in rows)),
        "tree_json_bytes_sent": round(arguments.copies * mean(len(row["tree"]) for row in rows)),
        "tree_nodes": round(mean(len(json.loads(row["tree"])["nodes"]) for row in rows)),
        "parquet_bytes_of_a_real_row": round(real_bytes),
        "generated_tokens": round(mean(row["generated_tokens"] for row in rows)),
        "key_bytes": round(allocated(lambda number: (f"chain_sum/mid-{number}", 10_100))),
        "problem_bytes": round(
            allocated(
                lambda number: Problem(f"{number:0250}", f"{number}", f"set-{number}", metadata={"cell": f"{number}"})
            )
        ),
        **found,
    }
    write_record(RESULTS / "ray_scaling_cluster.json", figures, seed=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    first = parts.add_parser("overhead")
    first.add_argument("--problems", type=int, default=200)
    first.add_argument("--in-flight", type=int, default=32, help="problems in one process, and in each actor")
    first.add_argument("--repeats", type=int, default=3)
    first.set_defaults(work=overhead)
    second = parts.add_parser("cluster")
    second.add_argument("--problems", type=int, default=1_000_000)
    second.add_argument("--actors", type=int, default=256)
    second.add_argument("--processes", type=int, default=4)
    second.add_argument("--in-flight", type=int, default=64)
    second.add_argument("--rate", type=float, default=256.0, help="problems per second of the whole cluster")
    second.add_argument("--trees", type=int, default=48, help="real trees whose rows are sent repeatedly")
    second.add_argument("--copies", type=int, default=1, help="how many trees' texts make a row, for larger trees")
    second.add_argument("--scratch", type=Path, help="folder for the table; needs enough free space")
    second.set_defaults(work=cluster)
    arguments = parser.parse_args()
    arguments.work(arguments)


if __name__ == "__main__":
    main()
