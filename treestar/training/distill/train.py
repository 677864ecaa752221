"""Trains a student on a teacher's steps, with the SFT trainer. Several processes: as `training.sft.train`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from treestar.training.base_policy import load_base
from treestar.training.distill.config import STEP_KINDS, StepERTrainingConfig
from treestar.training.distill.data import prepare_steps
from treestar.training.run import TrainingProgress, check_training
from treestar.training.sft.data import SFTData
from treestar.training.sft.train import longest_row, train_on
from treestar.types import State

__all__ = ["train_steper"]


def train_steper(
    trajectories: Iterable[State],
    base: str,
    out: str | Path,
    config: StepERTrainingConfig | None = None,
    *,
    resume: bool = False,
    on_data: Callable[[SFTData], None] = lambda _: None,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune a student on the steps of finished trajectories, and write it into the folder `out`.

    Args:
        base: the student: a shipped or fetched policy, a model folder, a GGUF file, or a hub id. It learns the step
            format `retrieval`.
        resume, on_data, on_progress: as for `train_policy`.

    Returns:
        The content of `training.json`; beside what `train_policy` returns, `kind_losses` and `sigmas`: for each kind of
        step the logged values, with their steps.

    Raises:
        TreestarError: as `train_policy`.
    """
    config, out = replace(config or StepERTrainingConfig(), step_format="retrieval"), Path(out)
    check_training(out, resume)
    student = load_base(base, config.step_format)
    length = longest_row(student, config)
    data = prepare_steps(trajectories, student.tokenizer, student.step_format, length, config.kinds)

    def making(*arguments: Any) -> Any:
        from treestar.training.distill.trainer import StepERTrainer

        return StepERTrainer(config, *arguments)

    return train_on(data, student, out, config, on_data, on_progress, making, history_of)


def history_of(trainer: Any) -> dict[str, Any]:
    """The logged losses and sigmas by kind: `{"first": [[step, value], ...], ...}` each."""
    entries = trainer.state.log_history

    def series(name: str) -> dict[str, list[list[float]]]:
        return {
            kind: [[entry["step"], entry[f"{name}_{kind}"]] for entry in entries if f"{name}_{kind}" in entry]
            for kind in STEP_KINDS
        }

    return {"kind_losses": series("loss"), "sigmas": series("sigma")}
