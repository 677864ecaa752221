"""Train a policy and a PPM; run once by the test itself, and by a launcher in several processes.

python -m support.train_in_processes OUT ACCUMULATION
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from support.ppm_trees import telling_tree
from support.sft_rows import sum_row

from treestar.training import PPMTrainingConfig, train_ppm
from treestar.training.run import TrainingProgress
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.train import train_policy

PLAIN = {"optim": "sgd", "logging_steps": 1, "max_grad_norm": 0.0}
"""Adam would amplify the rounding of gradients that are nearly 0."""


def train_both(out: Path, accumulation: int, say=print) -> None:
    """SFT: 16 rows, 4 per batch. PPM: 6 trees per batch. The toy model, so names are shifted."""

    def on_progress(progress: TrainingProgress) -> None:
        if progress.loss is None:
            say(f"step {progress.step} of {progress.steps}")

    settings = {"epochs": 2.0, "accumulation": accumulation, "warmup": 0.0}
    rows = [sum_row(number, "bound") for number in range(16)]
    sft = SFTTrainingConfig(**settings, batch_size=4, learning_rate=0.01, training_arguments=PLAIN)
    report = train_policy(rows, "toy", out / "policy", sft, on_progress=on_progress)
    trees = [telling_tree(number) for number in range(10)]
    ppm = PPMTrainingConfig(**settings, batch_tokens=130, held_out=0.2, learning_rate=0.01)
    arguments = PLAIN
    found = train_ppm(trees, "toy", out / "ppm", ppm, training_arguments=arguments, on_progress=on_progress)
    for name, each in {"policy": report, "ppm": found}.items():
        assert each == json.loads((out / name / "training.json").read_text()), "every process has the report"


if __name__ == "__main__":
    train_both(Path(sys.argv[1]), int(sys.argv[2]))
