"""The progress of a judge's data and training: counts of rows, then the bar of its fine-tuning or reinforcement."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console

from treestar.cli.grpo_progress import GRPODisplay
from treestar.cli.training_progress import TrainingDisplay
from treestar.storage.table import Row
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.run import TrainingProgress

__all__ = ["JudgeDisplay"]

ROWS_TOLD = 100
"""Without a terminal, a line is printed after so many rows."""


class JudgeDisplay(GRPODisplay):
    """Rows are counted by their kind; fine-tuning and reinforcement are shown as by their own commands."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.fine_tuning = TrainingDisplay(console)
        self.fine_tuning.bar, self.fine_tuning.task = self.bar, self.task
        self.rows: Counter[str] = Counter()

    def on_row(self, row: Row) -> None:
        """Count a row of solutions, of labeled chunks or of solutions in chunks."""
        kind = "problems sampled" if "fate" in row else "chunks labeled" if "q" in row else "solutions cut"
        self.rows[kind] += 1
        line = ", ".join(f"{count:,} {name}" for name, count in self.rows.items())
        if not self.console.is_terminal and self.rows[kind] % ROWS_TOLD == 0:
            self.say(line)
        self.show(line, self.rows[kind], None)

    def on_fine_tuning(self, progress: TrainingProgress) -> None:
        self.fine_tuning.on_progress(progress)

    def on_reinforcement(self, progress: GRPOProgress) -> None:
        self.on_progress(progress)

    def on_report(self, report: dict[str, Any]) -> None:
        if "log" in report:
            super().on_report(report)
        else:
            self.fine_tuning.on_report(report)
