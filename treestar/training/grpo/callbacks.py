"""What happens beside the steps: progress reports, and evaluation on held-out problems.

Imports transformers at the top; import this module only to train.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from treestar.storage.files import write_json
from treestar.training.grpo.evaluation import Outcome, summary
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.run import is_main_process

__all__ = ["Evaluation", "report_to"]

EVALUATIONS = "evaluations"
"""The folder with one file for each evaluation: the outcome on every held-out problem."""


def report_to(trainer: Any, on_progress: Callable[[GRPOProgress], None]) -> None:
    """Call `on_progress` whenever something is logged, in the main process, and print nothing."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(ProgressReports(on_progress))


class ProgressReports(TrainerCallback):  # type: ignore[misc]
    """Turns the trainer's log into `GRPOProgress`."""

    def __init__(self, on_progress: Callable[[GRPOProgress], None]) -> None:
        self.on_progress = on_progress

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if state.is_world_process_zero:
            numbers = {name: value for name, value in logs.items() if isinstance(value, int | float)}
            self.on_progress(GRPOProgress(state.global_step, state.max_steps, numbers, state.log_history))


class Evaluation(TrainerCallback):  # type: ignore[misc]
    """Evaluates before the first step, after every `every` steps, and after the last one.

    Args:
        trainer: logs the figures.
        evaluate: answers this process's share of the held-out problems.
        samples: how often `evaluate` samples each problem.
        out: the folder of the run.
    """

    def __init__(
        self, trainer: Any, evaluate: Callable[[], Sequence[Outcome]], every: int, samples: int, out: Path
    ) -> None:
        self.trainer = trainer
        self.evaluate = evaluate
        self.every = every
        self.samples = samples
        self.folder = out / EVALUATIONS

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:
            self.run(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            wants_log = control.should_log
            self.run(state.global_step)
            control.should_log = wants_log  # logging the evaluation has ticked off the step's own log

    def run(self, step: int) -> None:
        """Evaluate, write the outcomes, and log the figures."""
        started = time.perf_counter()
        model = self.trainer.model
        was_training = model.training
        model.eval()
        # Processes have other problems: their order within a cell must not depend on how many there are.
        outcomes = sorted(gather_object(list(self.evaluate())), key=lambda each: (each.cell, each.problem_id))
        if is_main_process():
            self.folder.mkdir(exist_ok=True)
            write_json(self.folder / f"step-{step:06d}.json", [asdict(each) for each in outcomes])
        seconds = time.perf_counter() - started
        self.trainer.log({**summary(outcomes, self.samples), "eval_seconds": seconds})
        model.train(was_training)
