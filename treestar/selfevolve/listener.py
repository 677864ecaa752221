"""The progress events of a job. This listener ignores them; `treestar evolve` shows them on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treestar.storage.table import Row
from treestar.training.run import TrainingProgress

__all__ = ["EvolutionListener"]


class EvolutionListener:
    """Override the methods that you need. They are called from the thread that runs the job."""

    def say(self, line: str) -> None:
        """A remark for the user."""

    def begin(self, place: str, total: int | None, done: int = 0, right: int = 0) -> None:
        """A phase, or a part of one, begins; `place` is the round and the phase.

        Args:
            total: the number of problems, if known.
            done: the number that an earlier run has searched or evaluated.
            right: the number of those that were solved or right.
        """

    def on_tree(self, row: Row) -> None:
        """A problem was searched; `row` is its row of the table `trees`."""

    def on_measured(self, row: Row) -> None:
        """A problem was evaluated; `row` is its row of the table `evaluation`."""

    def on_step(self, step: TrainingProgress) -> None:
        """A training has taken a step."""

    def on_phase(self, place: str, report: Mapping[str, Any], seconds: float) -> None:
        """A phase has ended with this report."""
