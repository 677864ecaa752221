"""The progress of a training run: its data, a bar with the loss, and its results."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from treestar.cli.progress import LiveBar, is_tenth
from treestar.training.run import TrainingProgress

__all__ = ["TrainingDisplay"]


class TrainingDisplay(LiveBar):
    """A live bar on a terminal; otherwise a line at every tenth of the steps."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "loading")
        self.loss: float | None = None
        self.step = 0

    def on_progress(self, progress: TrainingProgress) -> None:
        self.loss = self.loss if progress.loss is None else progress.loss
        line = f"epoch {progress.epoch:.1f}" + ("" if self.loss is None else f"  loss {self.loss:.4f}")
        self.show(line, progress.step, progress.steps)
        if progress.pair_accuracy is not None:
            self.say(f"{line}  held-out pair accuracy {progress.pair_accuracy:.3f}")
        elif not self.console.is_terminal and progress.step > self.step and is_tenth(progress.step, progress.steps):
            self.say(f"step {progress.step:,} of {progress.steps:,}  {line}")
        self.step = progress.step

    def on_report(self, report: dict[str, Any]) -> None:
        line = f"{report['steps']:,} steps, {report['tokens']:,} tokens in {report['seconds']:,.0f} s"
        if "pair_accuracy" in report:  # of a PPM; None if nothing was held out
            accuracy, pairs = report["pair_accuracy"], report["data"]["held_out_pairs"]
            line += f"; pair accuracy {accuracy:.3f} on {pairs:,} held-out pairs" if pairs else "; nothing was held out"
        self.say(line)
