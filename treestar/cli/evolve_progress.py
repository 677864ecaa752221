"""What a person sees of a running job: which phase of which round, how far, how fast, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treestar.selfevolve.listener import EvolutionListener
from treestar.storage.table import Row
from treestar.training.run import TrainingProgress

__all__ = ["EvolutionProgress"]


class EvolutionProgress(EvolutionListener):
    """A live bar on a terminal; everywhere a line for each phase that begins or ends.

    Args:
        console: where to draw; a quiet one shows nothing.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
            # Problems differ in what they take; an average over a short while would promise too much or too little.
            speed_estimate_period=300.0,
        )
        self.task = self.bar.add_task("starting", total=None)
        self.place = ""
        self.begin("", 0)

    def __enter__(self) -> EvolutionProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, highlight=False, markup=False)

    def begin(self, place: str, total: int | None, done: int = 0, right: int = 0) -> None:
        """Count anew, at `place`: the round and its phase.

        Args:
            total: how many problems it takes, where that is known.
            done: those that an earlier session has searched or measured.
            right: those among them that were solved or right.
        """
        self.place = place
        self.started = time.perf_counter()
        self.total, self.done, self.right = total, done, right
        self.rollouts = self.tokens = 0
        self.loss: float | None = None
        self.bar.reset(self.task, total=total, completed=done, description=place)

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
        """Count a measured problem, a row of the table `evaluation`."""
        self.done += 1
        self.right += row["right"]
        self.advance(f"{self.right / self.done:.1%} right")

    def advance(self, figures: str) -> None:
        self.bar.update(self.task, completed=self.done, description=f"{self.place}  {figures}")
        # Without a bar to look at, a line for every tenth of the way.
        total = self.total or self.done
        if not self.console.is_terminal and self.done * 10 // total > (self.done - 1) * 10 // total:
            left = self.bar.tasks[0].time_remaining
            self.say(f"{self.place}: {self.done:,} of {total:,}  {figures}" + (f"  {left:,.0f} s left" if left else ""))

    def on_step(self, step: TrainingProgress) -> None:
        """Show a step of a training."""
        self.loss = self.loss if step.loss is None else step.loss
        line = f"{self.place}  epoch {step.epoch:.1f}" + ("" if self.loss is None else f"  loss {self.loss:.4f}")
        self.bar.update(self.task, total=step.steps, completed=step.step, description=line)

    def on_phase(self, place: str, report: Mapping[str, Any], seconds: float) -> None:
        """Say what came of a phase that has ended."""
        self.say(f"{place}: {'; '.join([*summary(report), f'{seconds:,.0f} s'])}")


def summary(found: Mapping[str, Any]) -> list[str]:
    """What a phase's report says, in short."""
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
