"""The progress of a self-evolution job: the current round and phase, its progress and speed, and its results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from treestar.cli.progress import LiveBar, is_tenth
from treestar.selfevolve.listener import EvolutionListener
from treestar.storage.table import Row
from treestar.training.run import TrainingProgress

__all__ = ["EvolutionProgress"]


class EvolutionProgress(LiveBar, EvolutionListener):
    """A live bar on a terminal; everywhere one line per finished phase."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "starting")
        self.begin("", 0)

    def begin(self, place: str, total: int | None, done: int = 0, right: int = 0) -> None:
        """Start a new count at `place`, the round and its phase; see `EvolutionListener.begin`."""
        self.place = place
        self.started = time.perf_counter()
        self.total, self.done, self.right = total, done, right
        self.rollouts = self.tokens = 0
        self.loss: float | None = None
        self.restart(place, total, done)

    def on_tree(self, row: Row) -> None:
        """Count a searched problem, a row of the table `trees`."""
        self.done += 1
        self.right += row["solved"]
        self.rollouts += row["rollouts"]
        self.tokens += row["generated_tokens"]
        seconds = time.perf_counter() - self.started
        rates = f"{self.rollouts / seconds:,.1f} rollouts/s  {self.tokens / seconds:,.0f} tokens/s"
        self.advance(f"{self.right / self.done:.1%} solved  {rates}")

    def on_measured(self, row: Row) -> None:
        """Count an evaluated problem, a row of the table `evaluation`."""
        self.done += 1
        self.right += row["right"]
        self.advance(f"{self.right / self.done:.1%} right")

    def advance(self, figures: str) -> None:
        self.show(f"{self.place}  {figures}", self.done, self.total)
        total = self.total or self.done
        if not self.console.is_terminal and is_tenth(self.done, total):
            left = "" if not self.seconds_left else f"  {self.seconds_left:,.0f} s left"
            self.say(f"{self.place}: {self.done:,} of {total:,}  {figures}{left}")

    def on_step(self, step: TrainingProgress) -> None:
        """Show a training step."""
        self.loss = self.loss if step.loss is None else step.loss
        line = f"{self.place}  epoch {step.epoch:.1f}" + ("" if self.loss is None else f"  loss {self.loss:.4f}")
        self.show(line, step.step, step.steps)

    def on_phase(self, place: str, report: Mapping[str, Any], seconds: float) -> None:
        """Print the results of a phase."""
        self.say(f"{place}: {'; '.join([*summary(report), f'{seconds:,.0f} s'])}")


def summary(found: Mapping[str, Any]) -> list[str]:
    """A phase's report in a few words."""
    parts = []
    if "by_difficulty" in found:
        classes = ", ".join(f"{count:,} {name}" for name, count in found["by_difficulty"].items())
        parts.append(f"{found['solved']:,} of {found['problems']:,} problems solved ({classes})")
        parts.append(f"{found['rollouts']:,} rollouts, {found['generated_tokens']:,} tokens")
    if "trajectories" in found:
        parts.append(
            f"{found['trajectories']:,} new trajectories, {found['rows']:,} in all, {found['pairs']:,} pairs; "
            f"left out {found['false_positives']:,} false positives, {found['duplicates']:,} duplicates"
        )
    for name, cells in found.items():
        if name in ("greedy", "search", "ppm_fixed_policy"):
            mean = sum(each["accuracy"] for each in cells.values()) / len(cells)
            parts.append(f"{name.replace('_', ' ')} {mean:.1%}")
    if found.get("pair_accuracy") is not None:
        parts.append(f"held-out pair accuracy {found['pair_accuracy']:.3f}")
    if "skipped" in found:
        parts.append(str(found["skipped"]))
    return parts
