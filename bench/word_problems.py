"""The default policy on the word problems that people ask: accuracy by set and strategy.

    treestar models fetch smollm2-135m
    python bench/word_problems.py run DIR --data FOLDER [--policy NAME] [--scorer NAME] [--problems 100] [--tokens 600]
    python bench/word_problems.py record DIR [--name word_problems] [--samples OTHER]

FOLDER holds the test sets: svamp.jsonl, gsm8k_test.jsonl and others. `run` is one `treestar bench` in DIR, which
continues after an interruption; every strategy but greedy may generate the same number of tokens for a problem. The
everyday questions are those to develop with and, as `everyday_check` and `everyday_fresh`, those that were written
without knowing what is taught, all in recipes/word_problems; of ASDiv the problems are asked whose answer is one number
and that are not in ASDiv-A, whose questions the training set has. `record` writes bench/results/NAME.json; with
`--samples`, a run of `weighted_vote` over the same questions with as many tokens, also the searches minus majority,
best of n and weighted vote.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from treestar.benchmarks.compare import read_config
from treestar.benchmarks.results import read_values
from treestar.benchmarks.runner import SAMPLES
from treestar.statistics import expected_calibration_error, paired_difference
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "word_problems"
EVERYDAY = ("everyday", "everyday_check", "everyday_fresh")
FILES = {
    "svamp": "svamp.jsonl",
    "asdiv": "asdiv.jsonl",
    "gsm8k": "gsm8k_test.jsonl",
    "gsm_hard": "gsm_hard.jsonl",
    "tabmwp": "tabmwp_numeric.jsonl",
}
MAX_DEPTH, MAX_STEP_TOKENS = 12, 96
FROM_SAMPLES = ("majority", "best_of_n", "weighted_vote")
METRICS = ("acc,", "pass@", "consensus@", "ece,", "confidence,", "best_of@", "weighted_vote@")
"""The beginnings of the metrics that are recorded."""


def write_sets(names: list[str], data: Path, folder: Path, problems: int, seed: int) -> list[Path]:
    """The everyday questions, and a random draw from test sets, as files that `treestar bench` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name in EVERYDAY:
            (folder / f"{name}.jsonl").write_bytes((RECIPE / f"{name}.jsonl").read_bytes())
            continue
        lines = (data / FILES[name]).read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if is_asked(row)]
        drawn = Random(seed).sample(rows, min(problems, len(rows)))
        kept = [{key: row[key] for key in ("id", "question", "answer")} for row in drawn]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return [folder / f"{name}.jsonl" for name in names]


def is_asked(row: dict[str, Any]) -> bool:
    """Whether the question asks for one number, and is not one of ASDiv-A. Of a ratio (9:10), a time and several values
    (11; 24) ASDiv's `answer` is only the first number."""
    several = {":", ";"}.intersection(row.get("answer_with_unit", ""))
    return row.get("numeric", True) and not row.get("asdiv_a") and not several


def run(arguments: argparse.Namespace) -> None:
    out = arguments.folder / "bench"
    settings = {name: value for name, value in vars(arguments).items() if name not in ("part", "folder", "data")}
    sets = write_sets(
        arguments.sets.split(","), arguments.data, arguments.folder / "sets", arguments.problems, arguments.seed
    )
    write_json(arguments.folder / "run.json", settings)
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= arguments.samples]
    command = [
        *(sys.executable, "-m", "treestar", "bench", "run", *(f"jsonl:{file}" for file in sets)),
        *("--policy", arguments.policy, "--strategy", arguments.strategies, "--out", str(out)),
        *("--samples", str(arguments.samples), "--k", ",".join(map(str, ks))),
        *("--temperature", str(arguments.temperature)),
        *("--max-depth", str(MAX_DEPTH), "--max-step-tokens", str(MAX_STEP_TOKENS)),
        *(["--budget-tokens", str(arguments.tokens)] if arguments.tokens else []),
        *(["--dtype", arguments.dtype] if arguments.dtype else []),
        *(["--scorer", arguments.scorer] if arguments.scorer else []),
        *(["--resume"] if (out / "config.json").exists() else []),
    ]
    subprocess.run(command, check=True)


def figures(folder: Path) -> dict[str, Any]:
    """The figures of every set and strategy, with their 95% intervals."""
    found = read_json(folder / "bench" / "results.json")["results"]
    return {task.rpartition("/sets/")[2].replace(".jsonl/", ", "): metrics_of(row) for task, row in found.items()}


def metrics_of(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key.startswith(METRICS) and "_" not in key.partition(",")[0]}
    kept["generated_tokens"] = row["generated_tokens,none"]
    return {key: [value, row.get(key.replace(",", "_interval,", 1))] for key, value in kept.items()}


def searches_of_all_sets(folder: Path) -> dict[str, Any]:
    """Every search over the problems of all sets: its accuracy minus that of greedy decoding, and its calibration."""
    config, _ = read_config(folder / "bench")
    values, _ = read_values(folder / "bench" / SAMPLES, config)
    rows: dict[str, list[dict[str, float]]] = {}
    for task, problems in sorted(values.items()):
        strategy = task.rpartition("/sets/")[2].partition("/")[2]
        rows.setdefault(strategy, []).extend(row for _, row in sorted(problems.items()))
    greedy = [row["acc,none"] for row in rows.pop("greedy", [])]
    found = {}
    for strategy, of_problems in rows.items():
        if not greedy or "acc,none" not in of_problems[0]:
            continue
        right = [row["acc,none"] for row in of_problems]
        gained = sum(one > other for one, other in zip(right, greedy, strict=True))
        lost = sum(one < other for one, other in zip(right, greedy, strict=True))
        found[strategy] = {
            "problems": len(right),
            "accuracy": sum(right) / len(right),
            "minus greedy": {**paired_difference(right, greedy), "gained": gained, "lost": lost},
            "calibration": calibration([row["confidence,none"] for row in of_problems], [bool(each) for each in right]),
        }
    return found


def minus_samples(folder: Path, other: Path) -> dict[str, Any]:
    """Every search minus what is made of independent samples, over the problems of all sets."""
    sampled = {task.partition(", ")[0]: rows for task, rows in metrics_by_task(other, FROM_SAMPLES).items()}
    pairs: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {}
    for task, rows in metrics_by_task(folder).items():
        name, _, strategy = task.partition(", ")
        if strategy != "greedy":
            pairs.setdefault(strategy, []).extend((row, sampled[name][problem]) for problem, row in rows.items())
    return {strategy: {label: compared(of, f"acc,{label}") for label in FROM_SAMPLES} for strategy, of in pairs.items()}


def compared(pairs: list[tuple[dict[str, float], dict[str, float]]], metric: str) -> dict[str, Any]:
    searched, sampled = [one["acc,none"] for one, _ in pairs], [other[metric] for _, other in pairs]
    tokens = sum(other["generated_tokens,none"] for _, other in pairs) / len(pairs)
    return {
        "accuracy": sum(sampled) / len(pairs),
        "generated_tokens": tokens,
        "search minus it": paired_difference(searched, sampled),
    }


def metrics_by_task(
    folder: Path, strategies: tuple[str, ...] = ()
) -> dict[str, dict[tuple[int, int], dict[str, float]]]:
    """The metrics of every problem, by set and strategy; of samples also those of other `strategies`."""
    config, _ = read_config(folder / "bench")
    values, _ = read_values(folder / "bench" / SAMPLES, replace(config, strategies=strategies or config.strategies))
    return {task.rpartition("/sets/")[2].replace(".jsonl/", ", ", 1): rows for task, rows in sorted(values.items())}


def calibration(confidences: list[float], right: list[bool]) -> dict[str, Any]:
    """The expected calibration error, beside that of confidences that are exactly the chances of being right."""
    draws = Random(0)
    exact = sorted(
        expected_calibration_error(confidences, [draws.random() < each for each in confidences]) for _ in range(1000)
    )
    bounds = (0.0, 0.5, 0.9, 1.0)
    pairs = list(zip(confidences, right, strict=True))
    return {
        "error": expected_calibration_error(confidences, right),
        "error if exact": {"median": exact[500], "95%": exact[950]},
        "right by confidence": {
            f"{low} to {high}": counted([is_right for share, is_right in pairs if within(share, low, high)])
            for low, high in itertools.pairwise(bounds)
        },
    }


def counted(right: list[bool]) -> str:
    return f"{sum(right)} of {len(right)}"


def within(share: float, low: float, high: float) -> bool:
    return low <= share < high or share == high == 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the default policy on word problems.")
    parts = parser.add_subparsers(dest="part", required=True)
    runs = parts.add_parser("run")
    runs.add_argument("folder", type=Path)
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--sets", default=",".join([*EVERYDAY, "svamp", "asdiv", "gsm8k"]))
    runs.add_argument("--policy", default="embedded")
    runs.add_argument("--scorer")
    runs.add_argument("--dtype", help="of the models; bfloat16 is much faster on CPUs with matrix units for it")
    runs.add_argument("--problems", type=int, default=100, help="of each test set")
    runs.add_argument("--strategies", default="greedy,majority,mcts")
    runs.add_argument("--samples", type=int, default=8, help="of the strategies that sample whole solutions")
    runs.add_argument("--tokens", type=int, help="generated for each problem, at most, by every strategy but greedy")
    runs.add_argument("--temperature", type=float, default=0.7)
    runs.add_argument("--seed", type=int, default=0, help="of the draw of the problems")
    records = parts.add_parser("record")
    records.add_argument("folder", type=Path)
    records.add_argument("--name", default="word_problems")
    records.add_argument("--samples", type=Path, metavar="OTHER", help="a run of weighted_vote with as many tokens")
    arguments = parser.parse_args()
    if arguments.part == "run":
        run(arguments)
        return
    settings = read_json(arguments.folder / "run.json")
    options = " ".join(f"--{name} {value}" for name, value in settings.items() if value is not None)
    write_record(
        Path(__file__).parent / "results" / f"{arguments.name}.json",
        {
            **figures(arguments.folder),
            "of all sets": searches_of_all_sets(arguments.folder),
            **({"minus samples": minus_samples(arguments.folder, arguments.samples)} if arguments.samples else {}),
        },
        settings["seed"],
        command=f"python bench/word_problems.py run DIR --data FOLDER {options}",
    )


if __name__ == "__main__":
    main()
