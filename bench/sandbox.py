"""Measure the cost of executing one step at depths 1, 8 and 16 of a tree, for several execution methods.

    pip install -e '.[bench]'
    python bench/sandbox.py [--repeats 5]

All methods run the same steps in the same run, in turn within each repeat. A step at depth d runs in the state after
d - 1 steps, however the method obtains that state. Writes bench/results/sandbox.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.storage.record import write_record
from treestar.types import Snapshot

DEPTHS = (1, 8, 16)

KINDS = {
    "arithmetic": [
        f"price_{i} = {12 + i} * 7 - {i}\nshare_{i} = price_{i} * 30 / 100\n"
        f"rest_{i} = price_{i} - share_{i}\nprint(rest_{i})"
        for i in range(max(DEPTHS))
    ],
    "sympy": [
        f"from sympy import symbols, solve, expand\nx_{i} = symbols('x_{i}')\n"
        f"roots_{i} = solve(x_{i}**2 - {i + 5}*x_{i} + {i + 4}, x_{i})\nprint(roots_{i})"
        for i in range(max(DEPTHS))
    ],
}
"""The steps of a path, by kind; step i can use the state of the steps before it."""

TIMES = {"arithmetic": 300, "sympy": 25}
"""Steps per repeat for methods that take about a millisecond or less; slow methods run fewer."""

Step = Callable[[str], Awaitable[None]]
"""Runs code in the prepared state, and leaves that state unchanged."""


# --- methods ----------------------------------------------------------------------------------------------------------


async def plain(prefix: list[str]) -> Step:
    """`exec` in this process, without isolation, in a shallow copy of the namespace."""
    namespace: dict[str, Any] = {}
    run_all(prefix, namespace)

    async def step(code: str) -> None:
        run_all([code], dict(namespace))

    return step


async def restricted(prefix: list[str]) -> Step:
    """RestrictedPython as in its documentation, in this process; imports are allowed so that the steps run."""
    warnings.filterwarnings("ignore", ".*never reads 'printed'")
    from RestrictedPython import compile_restricted, safe_globals
    from RestrictedPython.PrintCollector import PrintCollector

    builtins = {**safe_globals["__builtins__"], "__import__": __import__}
    namespace: dict[str, Any] = {"__builtins__": builtins, "_print_": PrintCollector, "_getattr_": getattr}
    for code in prefix:
        exec(compile_restricted(code, "<step>", "exec"), namespace)

    async def step(code: str) -> None:
        exec(compile_restricted(code, "<step>", "exec"), dict(namespace))

    return step


async def subprocess_each(prefix: list[str]) -> Step:
    """A new interpreter that runs the whole path."""

    async def step(code: str) -> None:
        program = "\n".join([*prefix, code])
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)

    return step


async def rerun(prefix: list[str]) -> Step:
    """rStar-Math's method without its process pool: runs the whole path again in this process."""

    async def step(code: str) -> None:
        run_all([*prefix, code], {})

    return step


async def rerun_in_pool(prefix: list[str]) -> Step:
    """rStar-Math's method: runs the whole path again in a forked process."""

    async def step(code: str) -> None:
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            pool.submit(run_all, [*prefix, code], {}).result()

    return step


async def smolagents(prefix: list[str]) -> Step:
    """smolagents' syntax tree interpreter, in this process; its state continues from step to step."""
    from smolagents.local_python_executor import LocalPythonExecutor

    executor = LocalPythonExecutor(["sympy"])
    executor.send_tools({})
    for code in prefix:
        executor(code)

    async def step(code: str) -> None:
        executor(code)

    return step


def run_all(codes: list[str], namespace: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        for code in codes:
            exec(compile(code, "<step>", "exec"), namespace)


def treestar_in(interpreter: SandboxInterpreter) -> Callable[[list[str]], Awaitable[Step]]:
    """treestar's sandbox, in one tree."""

    async def prepare(prefix: list[str]) -> Step:
        snapshot: Snapshot | None = None
        for code in prefix:
            snapshot = (await interpreter.run(code, snapshot)).snapshot

        async def step(code: str) -> None:
            execution = await interpreter.run(code, snapshot)
            assert execution.error is None

        return step

    return prepare


def rerun_in(interpreter: SandboxInterpreter) -> Callable[[list[str]], Awaitable[Step]]:
    """Runs the whole path again in our jail: shows what snapshots save, all else equal."""

    async def prepare(prefix: list[str]) -> Step:
        async def step(code: str) -> None:
            execution = await interpreter.run("\n".join([*prefix, code]), None)
            assert execution.error is None

        return step

    return prepare


# --- measuring --------------------------------------------------------------------------------------------------------


async def timed(prepare: Callable[[list[str]], Awaitable[Step]], kind: str, depth: int, times: int) -> list[float]:
    """Milliseconds of each of `times` runs of the step at `depth`."""
    step = await prepare(KINDS[kind][: depth - 1])
    code = KINDS[kind][depth - 1]
    await step(code)
    taken = []
    for number in range(times):
        started = time.perf_counter()
        await step(f"{code}\nnumber = {number}")  # no two alike, as in a search
        taken.append((time.perf_counter() - started) * 1000)
    return taken


async def latencies(executor: SandboxExecutor, repeats: int) -> dict[str, Any]:
    """By kind, method and depth: median, minimum and maximum of the repeats' p50, and the p99 of all steps."""
    figures: dict[str, Any] = {}
    for kind in KINDS:
        samples: dict[tuple[str, int], list[list[float]]] = {}
        for _ in range(repeats):
            interpreter = await executor.open()
            ways = {
                "plain exec": (plain, TIMES[kind]),
                "RestrictedPython": (restricted, TIMES[kind]),
                "fresh subprocess": (subprocess_each, 3),
                "re-run the prefix": (rerun, TIMES[kind]),
                "re-run the prefix, process pool": (rerun_in_pool, 10),
                "re-run the prefix, treestar's jail": (rerun_in(interpreter), TIMES[kind]),
                "smolagents": (smolagents, TIMES[kind]),
                "treestar": (treestar_in(interpreter), TIMES[kind]),
            }
            for depth in DEPTHS:
                for way, (prepare, times) in ways.items():
                    samples.setdefault((way, depth), []).append(await timed(prepare, kind, depth, times))
            await interpreter.close()
        figures[kind] = {}
        for (way, depth), runs in samples.items():
            medians = [statistics.median(run) for run in runs]
            steps = sorted(taken for run in runs for taken in run)
            figures[kind].setdefault(way, {})[f"depth {depth}"] = {
                "p50_ms": round(statistics.median(medians), 4),
                "p50_ms_range": [round(min(medians), 4), round(max(medians), 4)],
                "p99_ms": round(steps[int(len(steps) * 0.99)], 4),
                "steps": len(steps),
            }
    return figures


async def throughput(executor: SandboxExecutor, repeats: int, trees: int = 16, steps: int = 800) -> dict[str, Any]:
    """Arithmetic steps per second of many concurrent trees, each a chain of 16 steps that is repeated."""
    numbers = count()

    async def grow() -> None:
        interpreter = await executor.open()
        snapshot: Snapshot | None = None
        for index in range(steps):
            code = f"{KINDS['arithmetic'][index % max(DEPTHS)]}\nnumber = {next(numbers)}"
            execution = await interpreter.run(code, None if index % max(DEPTHS) == 0 else snapshot)
            assert execution.error is None
            snapshot = execution.snapshot
        await interpreter.close()

    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        await asyncio.gather(*(grow() for _ in range(trees)))
        rates.append(trees * steps / (time.perf_counter() - started))
    return {
        "trees": trees,
        "concurrency": executor.config.concurrency,
        "steps_per_second": round(statistics.median(rates)),
        "range": [round(min(rates)), round(max(rates))],
    }


async def memory_a_node(executor: SandboxExecutor, kind: str, nodes: int) -> float:
    """KiB by which the worker grows per node, at depth 16."""
    interpreter = await executor.open()
    snapshot: Snapshot | None = None
    for code in KINDS[kind][:-1]:
        snapshot = (await interpreter.run(code, snapshot)).snapshot
    peaks = []
    for number in range(nodes):
        execution = await interpreter.run(f"{KINDS[kind][-1]}\nnumber = {number}", snapshot)
        peaks.append(execution.peak_memory)
    await interpreter.close()
    half = nodes // 2  # the first nodes use spare memory of the allocator
    return round((peaks[-1] - peaks[half]) / (nodes - 1 - half) / 1024, 2)


def targets(figures: dict[str, Any]) -> dict[str, Any]:
    """The summary figures."""

    def p50(kind: str, way: str, depth: int) -> float:
        return float(figures["latency"][kind][way][f"depth {depth}"]["p50_ms"])

    ratios: dict[str, Any] = {}
    for kind in KINDS:
        ratios[kind] = {
            "treestar, depth 16 over depth 1": round(p50(kind, "treestar", 16) / p50(kind, "treestar", 1), 3),
            **{
                f"{way} over treestar, depth 16": round(p50(kind, way, 16) / p50(kind, "treestar", 16), 2)
                for way in [way for way in figures["latency"][kind] if way.startswith(("re-run", "smolagents"))]
            },
        }
    return ratios


async def measure(repeats: int) -> dict[str, Any]:
    executor = SandboxExecutor(SandboxConfig(seconds=30.0))
    try:
        await executor.layers()
        figures: dict[str, Any] = {"latency": await latencies(executor, repeats)}
        figures["throughput"] = await throughput(executor, repeats)
        figures["memory_a_node_kib"] = {
            "arithmetic": await memory_a_node(executor, "arithmetic", 4000),
            "sympy": await memory_a_node(executor, "sympy", 300),
        }
    finally:
        await executor.close()
    return {**figures, "ratios": targets(figures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    import sympy  # noqa: F401  # imported here so that in-process methods do not pay for it

    write_record(Path(__file__).parent / "results" / "sandbox.json", asyncio.run(measure(arguments.repeats)), seed=0)


if __name__ == "__main__":
    main()
