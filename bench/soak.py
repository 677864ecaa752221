"""Run many steps over many trees, some of them hostile: check every result, and that nothing is left behind.

    python bench/soak.py [--steps 100000] [--trees 200] [--seed 0]

Each tree grows from random nodes by steps with known output. One step in twenty is hostile instead: it loops, takes all
memory, recurses, crashes the interpreter or forges answers; then the tree continues. Half of the trees run in the full
sandbox, the other half in the jail without RestrictedPython, where hostile steps reach their target. Writes
bench/results/soak.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.storage.record import write_record
from treestar.types import Execution, Snapshot

HOSTILE_SHARE = 0.05
SECONDS = 0.5
PRIME = 1_000_003
AT_A_TIME = 64
"""Trees that grow concurrently, as many as a `Solver` searches."""

HOSTILE = {
    "loop": "while True:\n    pass",
    "loop in C": "sum(range(10**12))",
    "memory at once": "x = [0] * 10**10",
    "memory in pieces": "x = []\nwhile True:\n    x.append('a' * 10**6)",
    "recursion": "def f(n):\n    return [f(n + 1)]\nf(0)",
    "output": "while True:\n    print('a' * 1000)",
    "changes what others hold": "value = -1\nkept.append(-1)\nkept.clear()\nraise ValueError",
    "exit": "import os\nos._exit(0)",
    "crash": "import ctypes\nctypes.string_at(1)",
    "forged answer": "import os\nos.write(3, b'\\x00\\x00\\x00\\x02{}')\nraise ValueError",
    "half a frame": "import os\nos.write(3, b'\\x00\\x10\\x00\\x00{')\nos._exit(0)",
    "garbage": "import os\nos.write(3, b'\\xff' * 1000)\nwhile True:\n    pass",
}
"""With RestrictedPython on, the last five only fail."""


@dataclass
class Tree:
    """A tree in progress, with the expected state of each node."""

    interpreter: SandboxInterpreter
    rng: random.Random
    nodes: list[tuple[Snapshot | None, int]] = field(default_factory=lambda: [(None, 0)])
    """Snapshot, and the value of the variable `value` in it."""


@dataclass
class Tally:
    """Counts and errors of a run."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    hostile: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    longest_hostile: float = 0.0


async def step(tree: Tree, tally: Tally) -> None:
    """One step from a random node: an honest one, whose result is checked, or a hostile one, which must fail."""
    snapshot, value = tree.rng.choice(tree.nodes[-40:])
    if tree.rng.random() < HOSTILE_SHARE and snapshot is not None:
        name, code = tree.rng.choice(list(HOSTILE.items()))
        started = time.perf_counter()
        execution = await tree.interpreter.run(code, snapshot)
        tally.longest_hostile = max(tally.longest_hostile, time.perf_counter() - started)
        tally.hostile[name] += 1
        tally.verdicts[f"{name}: {(execution.error or 'no error').split(':')[0].split(' (')[0]}"] += 1
        if execution.error is None and name != "output":
            tally.wrong.append(f"{name} passed")
        return
    factor, summand = tree.rng.randrange(2, 1000), tree.rng.randrange(1000)
    await honest(tree, tally, snapshot, value, factor, summand)


async def honest(tree: Tree, tally: Tally, snapshot: Snapshot | None, value: int, factor: int, summand: int) -> None:
    before = "value, kept = 0, []\n" if snapshot is None else ""
    code = f"{before}kept.append(value)\nvalue = (value * {factor} + {summand}) % {PRIME}\nprint(value, kept[-1])"
    execution: Execution = await tree.interpreter.run(code, snapshot)
    new = (value * factor + summand) % PRIME
    if execution.output == f"{new} {value}\n" and execution.error is None:
        tally.right += 1
        tree.nodes.append((execution.snapshot, new))
    else:
        tally.wrong.append(f"expected {new} {value}, got {execution}")


async def grow(
    executor: SandboxExecutor, places: asyncio.Semaphore, number: int, steps: int, seed: int, tally: Tally
) -> None:
    async with places:
        tree = Tree(await executor.open(), random.Random(f"{seed}/{number}"))
        for _ in range(steps):
            await step(tree, tally)
        await tree.interpreter.close()


def footprint() -> dict[str, int]:
    """This process's descriptors, resident memory in KiB, and running child processes."""
    with open("/proc/self/statm") as pages:
        resident = int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return {"descriptors": len(os.listdir("/proc/self/fd")), "resident_kib": resident, "processes": len(descendants())}


def descendants() -> list[int]:
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parents[int(entry)] = int(stat.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [os.getpid()]
    for each in found:  # which grows meanwhile
        found += [pid for pid, parent in parents.items() if parent == each]
    return found[1:]


async def soak(steps: int, trees: int, seed: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, restricted in (("full", True), ("jail alone", False)):
        before = footprint()
        executor = SandboxExecutor(SandboxConfig(seconds=SECONDS, restricted=restricted))
        await executor.layers()
        started_up = footprint()
        tally, started = Tally(), time.perf_counter()
        each, places = steps // trees, asyncio.Semaphore(AT_A_TIME)
        await asyncio.gather(*(grow(executor, places, number, each, seed, tally) for number in range(trees // 2)))
        seconds = time.perf_counter() - started
        finished = footprint()
        await executor.close()
        figures[name] = {
            "honest steps right": tally.right,
            "wrong": len(tally.wrong),
            "first wrong": tally.wrong[:3],
            "hostile steps": sum(tally.hostile.values()),
            "verdicts": dict(sorted(tally.verdicts.items())),
            "longest hostile step, seconds, waiting included": round(tally.longest_hostile, 2),
            "seconds": round(seconds, 1),
            "before": before,
            "sandbox started": started_up,
            "all trees closed": finished,
            "sandbox closed": footprint(),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures = asyncio.run(soak(arguments.steps, arguments.trees, arguments.seed))
    write_record(Path(__file__).parent / "results" / "soak.json", figures, arguments.seed)


if __name__ == "__main__":
    main()
