"""Shared code of all trainers: progress reports, and the check that the loss is a finite number.

Imports transformers at the top; import this module only to train.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from treestar.training.run import TrainingProgress, diverged

__all__ = ["Discreet", "finite", "report_progress"]


class Discreet:
    """A trainer of TRL that only trains."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Do not write a model card: training.json describes the training."""

    def _send_telemetry(self) -> None:
        """Do not send telemetry to TRL's developers."""


def report_progress(trainer: Any, on_progress: Callable[[TrainingProgress], None]) -> None:
    """Call `on_progress` after every step and whenever something is logged, in the main process, and print nothing."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ProgressReports(on_progress))


class ProgressReports(TrainerCallback):  # type: ignore[misc]
    """Turns the trainer's log into `TrainingProgress`."""

    def __init__(self, on_progress: Callable[[TrainingProgress], None]) -> None:
        self.on_progress = on_progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.on_progress(TrainingProgress(state.global_step, state.max_steps, state.epoch))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        found = logs.get("loss"), logs.get("eval_pair_accuracy")
        if state.is_world_process_zero and found != (None, None):
            self.on_progress(TrainingProgress(state.global_step, state.max_steps, state.epoch, *found))


def finite(loss: torch.Tensor, trainer: Any) -> torch.Tensor:
    """`loss`, a scalar. Raises TreestarError, naming the step, if it is not a finite number."""
    if not torch.isfinite(loss):
        raise diverged(f"the loss at step {trainer.state.global_step + 1} is {loss.item()}")
    return loss
