"""What a person sees of a PPM's training: what it learns from, a line that moves, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treestar.training.run import TrainingProgress

if TYPE_CHECKING:
    from treestar.training.ppm.data import TrainingData

__all__ = ["TrainingDisplay"]

NAMED = 10
"""Most faulty trees that are named one by one; training.json names all that were skipped."""


class TrainingDisplay:
    """A live bar on a terminal; elsewhere one line an epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.loss: float | None = None
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("loading", total=None)

    def __enter__(self) -> TrainingDisplay:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)

    def on_data(self, data: TrainingData) -> None:
        self.say(str(data.counts))
        faulty = [each for each in data.counts.skipped if each.reason in ("unreadable", "unjudged")]
        for each in faulty[:NAMED]:
            self.say(f"  skipped {each.name}: {each.reason}{f' ({each.detail})' if each.detail else ''}")
        if len(faulty) > NAMED:
            self.say(f"  and {len(faulty) - NAMED:,} more, named in training.json")
        self.say(str(data))

    def on_progress(self, progress: TrainingProgress) -> None:
        self.loss = self.loss if progress.loss is None else progress.loss
        line = f"epoch {progress.epoch:.1f}" + ("" if self.loss is None else f"  loss {self.loss:.4f}")
        self.bar.update(self.task, total=progress.steps, completed=progress.step, description=line)
        if progress.pair_accuracy is not None:
            self.say(f"{line}  held-out pair accuracy {progress.pair_accuracy:.3f}")

    def on_report(self, report: dict[str, Any]) -> None:
        accuracy = report["pair_accuracy"]
        held_out = report["data"]["held_out_pairs"]
        self.say(
            f"{report['steps']:,} steps, {report['tokens']:,} tokens in {report['seconds']:,.0f} s; "
            + (f"pair accuracy {accuracy:.3f} on {held_out:,} held-out pairs" if held_out else "nothing was held out")
        )
