"""Compare this checkout with another one, such as the commit before a restructuring: speed, and equality of trees.

    python bench/two_commits.py OTHER_CHECKOUT [--parts overhead,sandbox,round,trees] [--repeats 3] [--record NAME]

The two checkouts take turns, so that a slow phase of the machine affects both. Each runs its own scripts with its own
package, in separate processes.

- overhead: nodes per second by tree size, with the searches of `bench/overhead.py`;
- sandbox: steps per millisecond of one tree by kind and depth, and per second of 16 trees, with the steps of
  `bench/sandbox.py`;
- round: search and selection of the first round of `treestar evolve --preset toy-quick` in float32;
- trees: how many trees of such a round are equal, node by node (times aside), with one problem at a time: together, a
  matrix product in a batch of another shape may round differently.

All figures are rates, and a ratio is new over old: above 1 is faster. Writes bench/results/NAME.json,
by default two_commits.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from treestar.ppm import read_trees
from treestar.search import Tree
from treestar.storage.record import write_record

HERE = Path(__file__).resolve().parents[1]

Figures = dict[str, float]


def run(checkout: Path, *command: str) -> str:
    """What a Python command prints that runs with the package of `checkout`."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, check=True
    ).stdout


OVERHEAD = """
import gc, json, statistics, sys
sys.path.insert(0, "bench")
from overhead import SIZES, treestar_rate
rates = {}
for nodes in SIZES:
    treestar_rate(nodes)
    found = []
    for _ in range(max(5, 20_000 // nodes)):
        gc.collect()
        found.append(treestar_rate(nodes))
    rates[f"{nodes} nodes, 1/s"] = statistics.median(found)
print(json.dumps(rates))
"""

SANDBOX = """
import asyncio, json, statistics, sys
sys.path.insert(0, "bench")
import sympy
from sandbox import DEPTHS, KINDS, TIMES, SandboxConfig, SandboxExecutor, throughput, timed, treestar_in

async def measure():
    executor = SandboxExecutor(SandboxConfig(seconds=30.0))
    await executor.layers()
    interpreter = await executor.open()
    rates = {}
    for kind in KINDS:
        for depth in DEPTHS:
            taken = await timed(treestar_in(interpreter), kind, depth, 3 * TIMES[kind])
            rates[f"{kind} at depth {depth}, 1/ms"] = 1.0 / statistics.median(taken)
    await interpreter.close()
    rates["16 trees, 1/s"] = (await throughput(executor, 3))["steps_per_second"]
    await executor.close()
    print(json.dumps(rates))

asyncio.run(measure())
"""


def overhead(checkout: Path) -> Figures:
    return dict(json.loads(run(checkout, "-c", OVERHEAD)))


def sandbox(checkout: Path) -> Figures:
    return dict(json.loads(run(checkout, "-c", SANDBOX)))


def evolve_round(checkout: Path, out: Path, problems: int = 100, concurrency: int = 64) -> Figures:
    """Phases per second of one round of the preset."""
    preset = checkout / "treestar" / "selfevolve" / "presets" / "toy-quick.yaml"
    job = yaml.safe_load(preset.read_text(encoding="utf-8"))
    job["rounds"] = job["rounds"][:1]
    cells = [each for each in job["problems"]["gym"] if each.get("from_round", 1) == 1]
    job["problems"]["gym"] = [{**each, "problems": min(each["problems"], problems)} for each in cells]
    # Its trainings are left out: their time is that of transformers and TRL. In float32 a tree hardly ever depends on
    # its batch.
    job |= {"dtype": "float32", "sft": None, "ppm": None, "continue_ppm": False, "evaluation": None}
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(job), encoding="utf-8")
    run(checkout, "-m", "treestar", "evolve", str(file), "--out", str(out), "--concurrency", str(concurrency))
    phases = {
        file.stem: json.loads(file.read_text())["seconds"] for file in (out / "round-1" / "phases").glob("*.json")
    }
    return {f"{name}, 1/s": 1.0 / phases[name] for name in ("search", "selection")}


def content(tree: Tree) -> Any:
    """A tree without its settings, whose names differ, and without times."""
    found = tree.to_json()
    nodes = [{name: value for name, value in node.items() if name != "seconds"} for node in found["nodes"]]
    return found["problem"]["id"], found["seed"], nodes


def equal_trees(first: Path, second: Path) -> dict[str, int]:
    trees = [
        sorted(map(content, read_trees(out / "round-1" / "trees")), key=lambda each: each[:2])
        for out in (first, second)
    ]
    pairs = list(zip(*trees, strict=True))
    return {"trees": len(pairs), "equal": sum(one == other for one, other in pairs)}


def alternate(measure: Callable[[Path], Figures], checkouts: dict[str, Path], repeats: int) -> dict[str, Any]:
    """The median figures of each checkout and their ratios: the median over the repeats, and that of the best repeats,
    which a busy machine affects least."""
    runs: dict[str, list[Figures]] = {name: [] for name in checkouts}
    for number in range(repeats):
        order = list(checkouts.items())
        for name, checkout in order if number % 2 == 0 else reversed(order):
            runs[name].append(measure(checkout))
    found: dict[str, Any] = {}
    for figure in runs["new"][0]:
        old, new = ([each[figure] for each in runs[name]] for name in ("old", "new"))
        ratios = [one / other for one, other in zip(new, old, strict=True)]
        found[figure] = {
            "old": round(median(old), 4),
            "new": round(median(new), 4),
            "ratio": round(median(ratios), 3),
            "ratio of the best": round(max(new) / max(old), 3),
            "ratio by repeat": [round(each, 3) for each in ratios],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--parts", default="overhead,sandbox,round,trees")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", default="two_commits", help="the record's name in bench/results")
    arguments = parser.parse_args()
    checkouts = {"old": arguments.other.resolve(), "new": HERE}
    commits = {
        name: subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=path, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, path in checkouts.items()
    }
    figures: dict[str, Any] = {"commits": commits}
    parts = arguments.parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder)
        if "overhead" in parts:
            figures["overhead"] = alternate(overhead, checkouts, arguments.repeats)
        if "sandbox" in parts:
            figures["sandbox"] = alternate(sandbox, checkouts, arguments.repeats)
        if "round" in parts:
            numbers = {name: iter(range(arguments.repeats)) for name in checkouts}
            names = {path: name for name, path in checkouts.items()}

            def one_round(checkout: Path) -> Figures:
                name = names[checkout]
                return evolve_round(checkout, jobs / f"{name}-{next(numbers[name])}")

            figures["round"] = alternate(one_round, checkouts, min(arguments.repeats, 2))
        if "trees" in parts:
            for name, checkout in checkouts.items():
                evolve_round(checkout, jobs / f"{name}-alone", problems=4, concurrency=1)
            figures["trees"] = equal_trees(jobs / "old-alone", jobs / "new-alone")
    write_record(
        HERE / "bench" / "results" / f"{arguments.record}.json",
        figures,
        seed=0,
        command=f"python bench/two_commits.py OTHER_CHECKOUT --parts {arguments.parts} --repeats {arguments.repeats}",
    )


if __name__ == "__main__":
    main()
