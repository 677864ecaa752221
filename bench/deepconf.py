"""DeepConf beside majority voting, each with at most 32 samples of its own for a problem.

    python bench/deepconf.py RUN                                                # the toy's ladder, as bench/budgets.py
    python bench/deepconf.py RUN --policy embedded --files FILE ... --name deepconf_word_problems

RUN is a run of `treestar bench`, which the same command continues. FILE has JSON lines with question and answer.
Intervals are 95% paired bootstraps over problems. Writes bench/results/NAME.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from budgets import SAMPLES, difference, problems_of_ladder, rounded

from treestar.benchmarks.compare import read_config
from treestar.benchmarks.results import read_values
from treestar.benchmarks.runner import SAMPLES as SAMPLES_FILE
from treestar.storage.record import write_record

STRATEGIES = ("majority", "deepconf")
METRICS = {
    "sampling": {"majority": "acc,majority", "majority of 8": "acc,consensus@8"},
    "deepconf": {"deepconf": "acc,none"},
}
"""By the run's name for its samples: what is chosen from them, and the metric of that."""


def write_ladder(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"question": problem.question, "answer": problem.answer} for problem in problems_of_ladder()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def run(options: argparse.Namespace) -> None:
    files = options.files or [write_ladder(options.run.with_suffix(".jsonl"))]
    command = [
        *(sys.executable, "-m", "treestar", "bench", *(f"jsonl:{file}" for file in files)),
        *("--policy", options.policy, "--scorer", "none", "--strategy", ",".join(STRATEGIES)),
        *("--samples", str(SAMPLES), "--warmup", str(options.warmup), "--window", "4"),
        *("--group-tokens", str(options.group_tokens), "--temperature", "1", "--out", str(options.run), "--resume"),
    ]
    subprocess.run(command, check=True)


def figures(folder: Path) -> dict[str, Any]:
    values, _ = read_values(folder / SAMPLES_FILE, replace(read_config(folder)[0], k=(8,)))
    right: dict[str, list[float]] = {}
    tokens: dict[str, list[float]] = {}
    for task, problems in sorted(values.items()):
        samples = task.rpartition(".jsonl/")[2].partition("/")[0]
        rows = [row for _, row in sorted(problems.items())]
        tokens.setdefault(samples, []).extend(row["generated_tokens,none"] for row in rows)
        for name, metric in METRICS[samples].items():
            right.setdefault(name, []).extend(row[metric] for row in rows)
    return {
        "problems": len(right["majority"]),
        "accuracy": {name: rounded(each) for name, each in right.items()},
        "generated_tokens": {name: rounded(each) for name, each in tokens.items()},
        "minus_majority": difference(right["deepconf"], right["majority"]),
        "minus_majority_of_8": difference(right["deepconf"], right["majority of 8"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--policy", default="toy-bootstrap")
    parser.add_argument("--files", nargs="*", type=Path, default=())
    parser.add_argument("--warmup", type=int, default=8, help="samples that set the threshold")
    parser.add_argument("--group-tokens", type=int, default=16, help="solutions here have 60 to 150 tokens")
    parser.add_argument("--name", default="deepconf", help="of the record")
    options = parser.parse_args()
    run(options)
    settings = {name: getattr(options, name) for name in ("policy", "warmup", "group_tokens")}
    files = [file.name for file in options.files]
    command = " ".join(
        ["python bench/deepconf.py RUN --policy", options.policy, *(["--files", *files] if files else [])]
    )
    results = Path(__file__).parent / "results"
    write_record(results / f"{options.name}.json", {**settings, **figures(options.run)}, seed=0, command=command)


if __name__ == "__main__":
    main()
