"""The progress of a benchmark: a bar with the time left, and the accuracy so far."""

from __future__ import annotations

import time

from rich.console import Console

from treestar.cli.progress import LiveBar

__all__ = ["BenchmarkProgress"]


class BenchmarkProgress(LiveBar):
    """A live bar on a terminal; otherwise one line per finished cell.

    Args:
        total: problems of all cells together.
        finished: those that an earlier run finished.
    """

    def __init__(self, console: Console, total: int, finished: int) -> None:
        super().__init__(console, "starting", total, finished)
        self.total = total
        self.finished = finished
        self.right: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.tokens = 0
        self.started = time.perf_counter()

    def on_row(self, cell: str, size: int, right: bool, tokens: int) -> None:
        """Count a finished problem of `cell`; this run solves `size` problems of the cell."""
        self.asked[cell] = self.asked.get(cell, 0) + 1
        self.right[cell] = self.right.get(cell, 0) + right
        self.tokens += tokens
        rate = self.tokens / (time.perf_counter() - self.started)
        accuracy = f"{self.right[cell]}/{self.asked[cell]} right ({self.right[cell] / self.asked[cell]:.1%})"
        line = f"{cell}  {accuracy}  {rate:,.0f} tokens/s"
        self.finished += 1
        self.show(line, self.finished, self.total)
        if not self.console.is_terminal and self.asked[cell] == size:
            self.say(line)
