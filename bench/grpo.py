"""Reinforcement learning of the included bootstrap policy on the ladder of docs/toy.md.

    python bench/grpo.py run FOLDER [--seed 0] [--variant plain] [--steps 120]
    python bench/grpo.py record FOLDER

`run` trains one policy in FOLDER/VARIANT-SEED, and continues it there if it was stopped. Variants change one thing:

- `plain`: DAPO's loss, clip-higher and dynamic sampling; a step whose code fails ends its trajectory;
- `long`: 300 steps, whatever `--steps` says;
- `high_rate`: a learning rate of 4e-4 instead of 1e-4;
- `no_mask`: also learns what it only read after the prompt;
- `no_clip_higher`: both clips are .2;
- `no_dynamic_sampling`: groups without contrast stay;
- `continue`: the policy goes on after a step whose code failed, in the state before it;
- `resample_on_correct`: as `continue`, and right trajectories with few failed steps are preferred (GRPO-RoC).

`record` collects the curves of all runs in FOLDER, finished or not: greedy accuracy by cell at each evaluation, beside
the rounds of self-evolution (`toy_evolution.json`) with the tokens that their searches had generated until then. Other
runs that the record already has stay in it.

Writes bench/results/grpo.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from rich.console import Console

from treestar.cli.progress import quiet_transformers
from treestar.cli.training_progress import TrainingDisplay
from treestar.reinforcement import GRPOJob, run_grpo_job
from treestar.reinforcement.curve import Log, curve_of
from treestar.reinforcement.job import CurveConfig
from treestar.selfevolve.job import EvaluationCell, GymSource, ProblemsConfig
from treestar.selfevolve.job_folder import JOB
from treestar.storage.files import read_json
from treestar.storage.record import write_record
from treestar.training.checkpoints import last_checkpoint
from treestar.training.grpo.config import GRPOConfig

RESULTS = Path(__file__).parent / "results"

BASE = "toy-bootstrap"

LEARNED = {
    ("chain_sum", "hard"): 600,
    ("leg_counting", "hard"): 600,
    ("basic_arithmetic", "hard"): 500,
    ("chain_sum", "mid"): 60,
    ("leg_counting", "mid"): 80,
    ("basic_arithmetic", "mid"): 120,
    ("simple_geometry", "mid"): 40,
    ("gsm_symbolic", "taught"): 100,
}
"""Training problems by cell: mostly of the hard levels, some of the others, so that these are not forgotten."""

MEASURED = (*LEARNED, ("gsm_symbolic", "untaught"))
"""The nine cells of docs/toy.md."""

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "long": {"steps": 300},
    "high_rate": {"learning_rate": 4e-4},
    "no_mask": {"mask_outputs": False},
    "no_clip_higher": {"epsilon_high": 0.2},
    "no_dynamic_sampling": {"dynamic_sampling": 0},
    "continue": {"after_error": "continue"},
    "resample_on_correct": {"after_error": "continue", "resample_on_correct": True},
}


def job(variant: str, seed: int, steps: int) -> GRPOJob:
    training = GRPOConfig(
        steps=steps,
        seed=seed,
        problems_per_step=16,
        group_size=8,
        updates=2,
        batch_size=32,
        learning_rate=1e-4,
        max_tokens=320,
        dynamic_sampling=1,
        save_steps=4,
    )
    return GRPOJob(
        policy=BASE,
        problems=ProblemsConfig(
            gym=tuple(
                GymSource(family=family, level=level, problems=problems)
                for (family, level), problems in LEARNED.items()
            )
        ),
        training=replace(training, **VARIANTS[variant]),
        evaluation=CurveConfig(
            cells=tuple(EvaluationCell(family=family, level=level) for family, level in MEASURED), problems=40, every=20
        ),
    )


def run(folder: Path, variant: str, seed: int, steps: int) -> None:
    out = folder / f"{variant}-{seed}"
    if (out / "config.json").exists():
        return
    quiet_transformers()
    with TrainingDisplay(Console(stderr=True, soft_wrap=True)) as display:
        resume = (out / JOB).exists()
        run_grpo_job(
            job(variant, seed, steps), out, resume=resume, say=display.say, on_progress=display.on_reinforcement
        )


def log_of(out: Path) -> Log:
    """The log of a run, up to its last checkpoint if it is not finished."""
    if (out / "config.json").exists():
        found: Log = read_json(out / "training.json")["log"]
        return found
    checkpoint = last_checkpoint(out)
    return [] if checkpoint is None else read_json(checkpoint / "trainer_state.json")["log_history"]


def curve(out: Path) -> list[dict[str, Any]]:
    return [
        {
            "step": point.step,
            "generated_tokens": point.tokens,
            "seconds": round(point.seconds),
            "mean": round(point.evaluation["greedy"], 4),
            "interval": [round(point.evaluation[f"greedy_{end}"], 4) for end in ("low", "high")],
            "by_cell": {
                name.removeprefix("greedy/"): round(value, 3)
                for name, value in point.evaluation.items()
                if name.startswith("greedy/")
            },
            "sampled": {name: round(value, 4) for name, value in point.means.items()},
        }
        for point in curve_of(log_of(out))
        if point.evaluation
    ]


def self_evolution() -> list[dict[str, Any]]:
    """Greedy accuracy of each round's policy, and the tokens that the searches had generated until then."""
    rounds = read_json(RESULTS / "toy_evolution.json")["figures"]["rounds"]
    tokens = accumulate((each.get("search") or {}).get("generated_tokens", 0) for each in rounds)
    found = []
    for each, generated in zip(rounds, tokens, strict=True):
        cells = {cell: round(of["accuracy"], 3) for cell, of in each["evaluation"]["greedy"].items()}
        mean = round(sum(cells.values()) / len(cells), 4)
        found.append({"round": each["round"], "generated_tokens": generated, "mean": mean, "by_cell": cells})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "record"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variant", choices=VARIANTS, default="plain")
    parser.add_argument("--steps", type=int, default=120)
    given = parser.parse_args()
    if given.what == "run":
        run(given.folder, given.variant, given.seed, given.steps)
        return
    runs = {out.name: found for out in sorted(given.folder.iterdir()) if (out / JOB).exists() and (found := curve(out))}
    earlier = read_json(RESULTS / "grpo.json")["figures"]["runs"]
    figures = {"runs": {**earlier, **runs}, "self_evolution": self_evolution()}
    write_record(RESULTS / "grpo.json", figures, seed=given.seed, command="python bench/grpo.py record FOLDER")


if __name__ == "__main__":
    main()
