"""Stepwise distillation of a small pretrained model on real multi-hop questions (StepER, table 1).

    treestar models fetch smollm2-135m
    python bench/steper_real.py FOLDER --data SETS [--train 200 75 75] [--questions 100]

The student is SmolLM2-135M-Instruct with LoRA, the teacher is scripted: it says the gold reasoning of the training
parts of 2WikiMultiHopQA, HotpotQA and MuSiQue. Three students are asked the first questions of the test sets, greedily,
over the pooled paragraphs of each set:

    before      as it was fetched
    stepwise    all steps, difficulty-aware
    vanilla-kd  the final steps only, over the same trajectories: half of the tokens

Each part is a command of treestar. What is finished is kept in FOLDER, so the same command continues. Writes
bench/results/steper_real.json with what is done.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treestar.benchmarks.compare import read_config
from treestar.benchmarks.results import read_values
from treestar.benchmarks.runner import SAMPLES
from treestar.statistics import paired_difference
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record

BASE = "smollm2-135m"
TRAINING_SETS = ("2wikimultihopqa_train_500", "hotpotqa_train_100", "musique_train_100")
TEST_SETS = ("2wikimultihopqa", "hotpotqa", "musique")
FIGURES = ("exact_match", "f1", "contains")
PARAGRAPHS = ("--paragraphs", "2")
LORA = {"lora": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}}
TRAINING = ("--bf16", "--batch-size", "2", "--accumulation", "2", "--learning-rate", "5e-4", "--epochs", "1")
VARIANTS = {"stepwise": ("--steps", "first,mid,final"), "vanilla-kd": ("--steps", "final", "--weighting", "uniform")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the sets")
    parser.add_argument("--train", type=int, nargs=3, default=(200, 75, 75), help="questions of each training set")
    parser.add_argument("--questions", type=int, default=100, help="questions of each test set")
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    training_sets = [
        training_part(folder, given.data, name, count) for name, count in zip(TRAINING_SETS, given.train, strict=True)
    ]
    write_json(folder / "lora.json", LORA)
    evaluate(BASE, folder / "before", given)
    for name in VARIANTS:
        train(name, folder, training_sets)
        evaluate(str(folder / name), folder / f"{name}-asked", given)
        keep_record(folder, given)


def training_part(folder: Path, data: Path, name: str, count: int) -> str:
    """The first questions of a training set that no test set asks, as a data set's name."""
    tested = {row["question"] for each in TEST_SETS for row in rows_of(data / f"{each}_200.jsonl")}
    rows = [row for row in rows_of(data / f"{name}.jsonl") if row["question"] not in tested][:count]
    part = folder / f"{name}.jsonl"
    part.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return f"jsonl:{part}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def treestar(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "treestar", *map(str, words)], check=True)


def train(name: str, folder: Path, training_sets: Sequence[str]) -> None:
    if (folder / name / "config.json").exists():
        return
    treestar(
        *("train", "steper", *training_sets, "--teacher", "scripted", "--base", BASE, "--out", folder / name),
        *("--trajectories", folder / "trajectories", "--training-arguments", folder / "lora.json", "--resume"),
        *(*TRAINING, *PARAGRAPHS, *VARIANTS[name], "--save-steps", "50"),
    )


def evaluate(policy: str, out: Path, given: argparse.Namespace) -> None:
    if (out / "results.json").exists():
        return
    treestar(
        *("bench", *TEST_SETS, "--data-dir", given.data, "--limit", str(given.questions), "--policy", policy),
        *("--step-format", "retrieval", "--retriever", "bm25", "--setting", "pooled", "--strategy", "greedy"),
        *(*PARAGRAPHS, "--max-step-tokens", "64", "--dtype", "bfloat16", "--out", out, "--resume"),
    )


def keep_record(folder: Path, given: argparse.Namespace) -> None:
    students = {name: folder / name for name in ("before", *(f"{each}-asked" for each in VARIANTS))}
    asked = {name.removesuffix("-asked"): out for name, out in students.items() if (out / "results.json").exists()}
    figures: dict[str, Any] = {
        "settings": {"base": BASE, "train": dict(zip(TRAINING_SETS, given.train, strict=True)), **LORA},
        "columns": "percent; intervals are of 95%, over questions",
        "students": {name: of_sets(out) for name, out in asked.items()},
        "trainings": {name: of_training(folder / name) for name in VARIANTS if name in asked},
        "differences": {
            f"{one} - {other}": differences(asked[one], asked[other])
            for one, other in (("stepwise", "before"), ("vanilla-kd", "before"), ("stepwise", "vanilla-kd"))
            if one in asked and other in asked
        },
    }
    command = "python bench/steper_real.py FOLDER --data SETS"
    write_record(Path("bench/results/steper_real.json"), figures, seed=0, command=command)


def of_sets(out: Path) -> dict[str, Any]:
    """The figures of each test set with their intervals, and what was found and generated."""
    found = {}
    for task, values in read_json(out / "results.json")["results"].items():
        row: dict[str, Any] = {
            name: [percent(values[f"{name},none"]), *map(percent, values[f"{name}_interval,none"])] for name in FIGURES
        }
        row["support by step"] = [percent(values[f"support_recall@{step},none"]) for step in range(6)]
        row["tokens"] = round(values["generated_tokens,none"], 1)
        row["questions"] = len(values_of(out)[task])
        found[task.partition("/")[0]] = row
    return found


def of_training(out: Path) -> dict[str, Any]:
    report = read_json(out / "training.json")
    sigmas = {kind: values[-1][1] for kind, values in report["sigmas"].items() if values}
    return {**{name: report[name] for name in ("data", "steps", "tokens", "seconds")}, "last_sigmas": sigmas}


def differences(one: Path, other: Path) -> dict[str, Any]:
    """The paired difference of each figure over the questions of all sets, in percent."""
    firsts, seconds = all_questions(one), all_questions(other)
    found = {}
    for name in FIGURES:
        compared = paired_difference([row[name] for row in firsts], [row[name] for row in seconds])
        found[name] = [percent(compared["difference"]), *map(percent, compared["interval"])]
    return {"questions": len(firsts), **found}


def all_questions(out: Path) -> list[dict[str, float]]:
    return [row for rows in values_of(out).values() for row in rows]


def values_of(out: Path) -> dict[str, list[dict[str, float]]]:
    """The figures of every question, by task."""
    values, _ = read_values(out / SAMPLES, read_config(out)[0])
    return {
        task: [{name: row[f"{name},none"] for name in FIGURES} for _, row in sorted(rows.items())]
        for task, rows in sorted(values.items())
    }


def percent(value: float) -> float:
    return round(100 * value, 1)


if __name__ == "__main__":
    main()
