"""Train a student stepwise; run once by the test itself, and by a launcher in several processes.

python -m support.train_steper_in_processes BASE OUT ACCUMULATION [FSDP]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from support.questions import QUESTIONS, question_parts

from treestar.training.distill.collect import collect, read_trajectories
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.distill.train import train_steper
from treestar.types import State

PLAIN = {"optim": "sgd", "logging_steps": 1, "max_grad_norm": 0.0}
FSDP = {
    "fsdp": "full_shard auto_wrap",
    "fsdp_config": {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"], "use_orig_params": True},
}


def taught() -> list[State]:
    """The scripted teacher's trajectories, of two and of three steps."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(collect(QUESTIONS, lambda _: question_parts(), Path(folder) / "t"))
        return sorted(read_trajectories(Path(folder) / "t"), key=lambda state: state.problem.id)


def eight_rows() -> list[State]:
    """Trajectories with two, three and three rows, which several processes can share evenly."""
    three, two = taught()
    return [two, three, three]


def train(base: str, out: Path, accumulation: int, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Four rows per step."""
    config = StepERTrainingConfig(
        epochs=2.0,
        accumulation=accumulation,
        batch_size=2,
        warmup=0.0,
        learning_rate=0.01,
        sigma_learning_rate=0.1,
        training_arguments={**PLAIN, **(more or {})},
    )
    return train_steper(eight_rows(), base, out, config)


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), FSDP if sys.argv[4:] else None)
