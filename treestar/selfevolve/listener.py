"""What a job tells whoever watches it. This listener ignores everything; `treestar evolve` shows it on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treestar.storage.table import Row
from treestar.training.run import TrainingProgress

__all__ = ["EvolutionListener"]


class EvolutionListener:
    """Override what you want to know. Called from the thread that runs the job."""

    def say(self, line: str) -> None:
        """A remark for the user."""

    def begin(self, place: str, total: int | None, done: int = 0, right: int = 0) -> None:
        """Something begins at `place`: the round and its phase.

        Args:
            total: how many problems it takes, where that is known.
            done: those that an earlier session has searched or measured.
            right: those among them that were solved or right.
        """

    def on_tree(self, row: Row) -> None:
        """A problem was searched; `row` is its row of the table `trees`."""

    def on_measured(self, row: Row) -> None:
        """A problem was measured; `row` is its row of the table `evaluation`."""

    def on_step(self, step: TrainingProgress) -> None:
        """A training has taken a step."""

    def on_phase(self, place: str, report: Mapping[str, Any], seconds: float) -> None:
        """A phase has ended; `report` is what came of it."""
