"""What a person sees of a running benchmark: a bar with the time that is left, and the accuracy so far."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["BenchmarkProgress"]


class BenchmarkProgress:
    """A live bar on a terminal; elsewhere one line for each finished cell.

    Args:
        console: where to draw.
        total: problems of all cells together.
        finished: those that an earlier session has finished.
    """

    def __init__(self, console: Console, total: int, finished: int) -> None:
        self.console = console
        self.right: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.tokens = 0
        self.started = time.perf_counter()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
            # Cells differ in speed; an average over a short while would promise too much or too little.
            speed_estimate_period=600.0,
        )
        self.task = self.bar.add_task("starting", total=total, completed=finished)

    def __enter__(self) -> BenchmarkProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def on_row(self, cell: str, size: int, right: bool, tokens: int) -> None:
        """Count a finished problem of `cell`, which has `size` problems that this session asks."""
        self.asked[cell] = self.asked.get(cell, 0) + 1
        self.right[cell] = self.right.get(cell, 0) + right
        self.tokens += tokens
        rate = self.tokens / (time.perf_counter() - self.started)
        line = f"{cell}  {self.right[cell]}/{self.asked[cell]} right ({self.right[cell] / self.asked[cell]:.1%})"
        self.bar.update(self.task, advance=1, description=f"{line}  {rate:,.0f} tokens/s")
        if not self.console.is_terminal and self.asked[cell] == size:
            self.console.print(f"{line}  {rate:,.0f} tokens/s", highlight=False)
