"""Judges of a small real model's steps, measured on ProcessBench (StepWiser, tables 5 and 10, in small).

    treestar models fetch smollm2-135m
    python bench/judge_real.py FOLDER --data SETS [--problems 150] [--solutions 200]

The policy `embedded-taught` solves training questions that it was not taught: `--problems` each of GSM8K, of SVAMP's
training set, and of `recipes/word_problems/asked`. Its chunks are labeled by completions, and judges of SmolLM2-135M
learn from them:

    discriminative            SmolLM2-135M-Instruct answers each chunk with + or -
    discriminative-embedded   the same, from that policy, which knows such steps
    direct                    SmolLM2-135M-Instruct writes the verdict alone: it imitates labels, then is reinforced

They find the first wrong step of `--solutions` of each of ProcessBench's parts gsm8k and math, beside the default
policy's PPM.

Each part is a command of treestar. What is finished is kept in FOLDER, so the same command continues. Writes
bench/results/judge_real.json with what is done.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from grpo_word_problems import write_problems

from treestar.components import ComponentsConfig
from treestar.judge.annotate import read_chunks
from treestar.judge.config import AnnotationConfig
from treestar.judge.prompt import VERDICTS
from treestar.reinforcement.judge_stages import annotate_problems
from treestar.selfevolve.job import DataSource, ProblemsConfig
from treestar.selfevolve.problems import training_problems
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record

POLICY, BASE = "embedded-taught", "smollm2-135m"
"""Not `embedded`: the questions that it was rewarded for were drawn from two thirds of `asked`, among others."""
SOURCES = ("asked", "svamp_train", "gsm8k")
SUBSETS = ("gsm8k", "math")

LABELS = AnnotationConfig(responses=8, completions=8, trajectories=2, max_step_tokens=96)

LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}
BFLOAT16 = {"model_init_kwargs": {"dtype": "bfloat16"}}
SFT = {"epochs": 2, "batch_size": 4, "learning_rate": 5e-4, "lora": LORA, "training_arguments": BFLOAT16}
COLD_START = {**SFT, "epochs": 1}
GRPO = {
    "steps": 30,
    "problems_per_step": 16,
    "updates": 2,
    "batch_size": 4,
    "max_tokens": 8,
    "learning_rate": 1e-4,
    "save_steps": 5,
    "lora": LORA,
    "training_arguments": BFLOAT16,
}

VARIANTS: dict[str, dict[str, Any]] = {
    "discriminative": {"mode": "discriminative", "base": BASE, "settings": {"sft": SFT}},
    "discriminative-embedded": {"mode": "discriminative", "base": POLICY, "settings": {"sft": SFT}},
    "direct": {"mode": "direct", "base": BASE, "settings": {"sft": COLD_START, "grpo": GRPO}},
}
SCORERS = {"ppm": "embedded"}
"""What is measured beside them, by its scorer's name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the sets")
    parser.add_argument("--problems", type=int, default=150, help="training questions of each source")
    parser.add_argument("--solutions", type=int, default=200, help="solutions of each part of ProcessBench")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    given = parser.parse_args()
    folder: Path = given.folder
    make_chunks(folder, given)
    for name in given.only:
        train(name, folder)
        measure(str(folder / name), folder / f"{name}-measured", given)
        keep_record(folder, given)
    for name, scorer in SCORERS.items():
        measure(scorer, folder / f"{name}-measured", given)
        keep_record(folder, given)


def treestar(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "treestar", *map(str, words)], check=True)


def make_chunks(folder: Path, given: argparse.Namespace) -> None:
    """FOLDER/chunks: the policy's labeled chunks."""
    problems = folder / "problems"
    if not problems.exists():
        write_problems(problems, given.data)
    sources = tuple(
        DataSource(name=f"jsonl:{problems / name}.jsonl", label=name, problems=given.problems) for name in SOURCES
    )
    asked = training_problems(ProblemsConfig(data=sources), 0, ()).of_round(1)
    models = ComponentsConfig(policy=POLICY)
    found = annotate_problems(asked, models, folder / "chunks", LABELS, concurrency=64, say=print)
    print(found)
    write_json(folder / "chunks.json", found.to_json())


def train(name: str, folder: Path) -> None:
    out, variant = folder / name, VARIANTS[name]
    if (out / "config.json").exists():
        return
    settings, analyses = folder / f"{name}.json", folder / "verdicts.jsonl"
    write_json(settings, variant["settings"])
    words: list[object] = ["--mode", variant["mode"], "--settings", settings, "--max-prompt-tokens", "640"]
    if variant["mode"] == "direct":
        write_verdicts(folder / "chunks", analyses)
        words += ["--analyses", analyses]
    treestar("train", "judge", folder / "chunks", "--base", variant["base"], "--out", out, *words, "--resume")


def write_verdicts(chunks: Path, path: Path) -> None:
    """The labels as replies to imitate, as many positive as negative ones."""
    by_label: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for row in read_chunks(chunks):
        key = {each: row[each] for each in ("problem_id", "solution", "chunk")}
        by_label[row["label"]].append({**key, "reply": VERDICTS[row["label"]]})
    count = min(map(len, by_label.values()))
    lines = [json.dumps(row) for rows in by_label.values() for row in rows[:count]]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def measure(scorer: str, out: Path, given: argparse.Namespace) -> None:
    if (out / "results.json").exists():
        return
    treestar(
        *("bench", "processbench", "--scorer", scorer, "--subsets", ",".join(SUBSETS), "--data-dir", given.data),
        *("--problems", given.solutions, "--dtype", "bfloat16", "--out", out, "--resume"),
    )


def keep_record(folder: Path, given: argparse.Namespace) -> None:
    scorers = {name: folder / f"{name}-measured" for name in (*VARIANTS, *SCORERS)}
    figures = {
        "policy": POLICY,
        "base": BASE,
        "chunks": read_json(folder / "chunks.json"),
        "trainings": {
            name: of_training(folder / name) for name in VARIANTS if (folder / name / "training.json").exists()
        },
        "processbench": {
            name: of_processbench(read_json(out / "results.json"))
            for name, out in scorers.items()
            if (out / "results.json").exists()
        },
    }
    words = f"--problems {given.problems} --solutions {given.solutions}"
    command = f"python bench/judge_real.py FOLDER --data SETS {words}"
    write_record(Path(__file__).parent / "results" / "judge_real.json", figures, seed=0, command=command)


def of_processbench(results: dict[str, Any]) -> dict[str, Any]:
    return {name: results[name] for name in ("solutions", "chosen_on", "rules", "baselines", "cost")}


def of_training(out: Path) -> dict[str, Any]:
    report = read_json(out / "training.json")
    return {name: report[name] for name in ("data", "steps", "tokens", "seconds") if name in report}


if __name__ == "__main__":
    main()
