"""The progress bar of all long commands, and the lines that they print without a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treestar.types import TreestarError

__all__ = ["LiveBar", "is_tenth", "quiet_transformers", "resumable"]

LiveBarT = TypeVar("LiveBarT", bound="LiveBar")


class LiveBar:
    """A bar with counts, the time elapsed and the time left, on a terminal. Otherwise only lines are printed.

    A context manager: the bar is live inside it.

    Args:
        console: where to draw; a quiet one shows nothing.
        total: the number of steps or problems, if known.
        done: those that an earlier run has done.
    """

    def __init__(self, console: Console, description: str, total: int | None = None, done: int = 0) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            # Problems differ in how long they take: an average over a short time would be misleading.
            speed_estimate_period=600.0,
        )
        self.task = self.bar.add_task(description, total=total, completed=done)

    def __enter__(self: LiveBarT) -> LiveBarT:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def say(self, line: str) -> None:
        """Print a line, on a terminal above the bar."""
        self.console.print(line, highlight=False, markup=False)

    def show(self, description: str, done: int, total: int | None) -> None:
        """Move the bar to `done` of `total`."""
        self.bar.update(self.task, completed=done, total=total, description=description)

    def restart(self, description: str, total: int | None, done: int) -> None:
        """Begin a new count, with its own time."""
        self.bar.reset(self.task, total=total, completed=done, description=description)

    @property
    def seconds_left(self) -> float | None:
        """An estimate, if available."""
        return self.bar.tasks[0].time_remaining


def is_tenth(done: int, total: int) -> bool:
    """Whether to print a line when no bar is shown: ten times on the way to `total`."""
    return done * 10 // total > (done - 1) * 10 // total


@contextmanager
def resumable(out: Path, how: str = "run the same command with --resume to continue") -> Iterator[None]:
    """Say how to continue what is in the folder `out` if Ctrl-C interrupts it. Raises TreestarError."""
    try:
        yield
    except KeyboardInterrupt:
        raise TreestarError(f"interrupted; {how}: {out}") from None


def quiet_transformers() -> None:
    """Turn off the bars and notices of transformers, which would be mixed with ours; errors are still raised."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
