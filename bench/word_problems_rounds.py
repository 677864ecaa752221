"""Rounds of self-evolution of the policy `embedded-taught` on word problems that it was not taught.

    treestar models fetch smollm2-135m
    python bench/word_problems_rounds.py train FOLDER --data SETS
    python bench/word_problems_rounds.py measure FOLDER --data SETS [--problems 200]
    python bench/word_problems_rounds.py record FOLDER

SETS holds the training and test sets. `train` runs `treestar evolve` in FOLDER/job: two rounds guided by the gold
answers and two by the PPM of the round before, each on problems that no earlier round searched, from the same sources
as `grpo_word_problems.py`. `measure` answers test questions greedily with the policy of every finished round. Both
continue after an interruption. `record` writes bench/results/word_problems_rounds.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

from grpo_word_problems import POLICY, SEED, compared, measure, right_answers, write_problems

from treestar import MCTSConfig
from treestar.config.job_files import job_as_yaml
from treestar.selfevolve.job import Copies, DataSource, Job, ProblemsConfig, RoundConfig, SelectionConfig
from treestar.selfevolve.job_folder import JOB
from treestar.storage.files import read_json, write_text
from treestar.storage.record import write_record
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.sft.config import SFTTrainingConfig

HERE = Path(__file__).parent

SOURCES = {"asked": 110, "svamp_train": 50, "template": 40, "gsm8k": 40}
"""How many problems of each source a round searches."""

MODES = ("terminal", "terminal", "ppm", "ppm")
SEARCH = MCTSConfig(
    gold=True,
    early_stop=False,
    max_rollouts=8,
    children=4,
    max_depth=8,
    max_step_tokens=64,
    max_generated_tokens=800,
)
PHASES = {
    "search": ("problems", "solved", "by_cell", "rollouts", "generated_tokens"),
    "selection": ("trajectories", "rows", "pairs"),
    "sft": ("steps", "tokens"),
    "ppm": ("steps", "tokens", "pair_accuracy"),
}
"""What is recorded of each phase."""

PPM_STEPS = 30
"""Optimizer steps of a PPM: on two cores there is no time for more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("train", "measure", "record"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="the folder with the training and test sets")
    parser.add_argument("--problems", type=int, default=200, help="to measure with, of each test set")
    given = parser.parse_args()
    if given.part == "record":
        record(given.folder)
        return
    if given.data is None:
        parser.error(f"{given.part} needs --data")
    if given.part == "train":
        train(given.folder, given.data)
    else:
        for name, policy in measured_policies(given.folder):
            measure(given.folder / "measured" / name, given.data, policy, given.problems)


def train(folder: Path, data: Path) -> None:
    out = folder / "job"
    resume = (out / JOB).exists()
    if not resume:
        write_problems(folder / "problems", data)
        for file in (folder / "problems").glob("*.jsonl"):
            shuffle(file)
        write_text(folder / JOB, job_as_yaml(job(folder / "problems")))
    command = [sys.executable, "-m", "treestar", "evolve", *([] if resume else [str(folder / JOB)])]
    subprocess.run([*command, "--out", str(out), *(["--resume"] if resume else [])], check=True)


def shuffle(file: Path) -> None:
    """Put a file's questions, which are ordered by subject, into a random order: rounds take the first ones."""
    with file.open(encoding="utf-8") as opened:
        lines = list(opened)
    Random(SEED).shuffle(lines)
    write_text(file, "".join(lines))


def job(problems: Path) -> Job:
    rounds = range(1, len(MODES) + 1)
    return Job(
        bootstrap=POLICY,
        base=POLICY,
        continue_policy=True,
        problems=ProblemsConfig(
            data=tuple(
                DataSource(
                    name=f"jsonl:{problems / name}.jsonl",
                    label=name,
                    problems=number * count,
                    from_round=number,
                    to_round=number,
                )
                for number in rounds
                for name, count in SOURCES.items()
            )
        ),
        rounds=tuple(RoundConfig(mode=mode, search=SEARCH) for mode in MODES),
        selection=SelectionConfig(copies=Copies(easy=0.5, medium=1, hard=2)),
        sft=SFTTrainingConfig(
            epochs=1,
            batch_size=16,
            learning_rate=2e-4,
            step_format="rstar",
            lora={"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
            bf16=True,
        ),
        ppm=PPMTrainingConfig(
            epochs=1,
            bf16=True,
            batch_tokens=4096,
            learning_rate=4e-4,
            lora={"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
        ),
        ppm_rounds=len(MODES),
        ppm_training_arguments={"max_steps": PPM_STEPS},
        dtype="bfloat16",
    )


def measured_policies(folder: Path) -> list[tuple[str, str]]:
    """The policy before the first round and that of every finished training, by round."""
    trained = [(str(number), folder / "job" / f"round-{number}") for number in range(1, len(MODES) + 1)]
    return [
        ("0", POLICY),
        *((name, str(path / "policy")) for name, path in trained if (path / "phases" / "sft.json").exists()),
    ]


def record(folder: Path) -> None:
    right = {name: right_answers(folder / "measured" / name) for name, _ in measured_policies(folder)}
    figures: dict[str, Any] = {
        "columns": "percent of greedy answers that are right; after minus before with its 95% interval, over questions",
        "minus the policy before the first round": {
            number: {name: compared(right["0"][name], values) for name, values in of_round.items()}
            | {"of all sets": compared(*map(of_all_sets, (right["0"], of_round)))}
            for number, of_round in right.items()
            if number != "0"
        },
        "minus the round before": {
            number: compared(*map(of_all_sets, (right[str(int(number) - 1)], right[number])))
            for number in right
            if number != "0"
        },
        "rounds": {
            number: phases_of(folder / "job" / f"round-{number}" / "phases") for number in right if number != "0"
        },
    }
    command = "python bench/word_problems_rounds.py record FOLDER"
    write_record(HERE / "results" / "word_problems_rounds.json", figures, seed=0, command=command)


def phases_of(folder: Path) -> dict[str, Any]:
    """The counts of a round's finished phases, with their seconds."""
    found = {}
    for name, wanted in PHASES.items():
        if (folder / f"{name}.json").exists():
            done = read_json(folder / f"{name}.json")
            counts = {each: done["report"][each] for each in wanted}
            found[name] = counts | {"seconds": round(done["seconds"])}
    return found


def of_all_sets(by_set: dict[str, list[float]]) -> list[float]:
    return list(chain.from_iterable(by_set.values()))


if __name__ == "__main__":
    main()
