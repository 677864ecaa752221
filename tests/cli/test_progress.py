"""The progress bar on a terminal, and the lines that replace it elsewhere."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from treestar.cli.bench_progress import BenchmarkProgress
from treestar.cli.progress import LiveBar, is_tenth
from treestar.cli.training_progress import TrainingDisplay
from treestar.training import TrainingProgress


def console(terminal: bool) -> tuple[Console, StringIO]:
    written = StringIO()
    return Console(file=written, force_terminal=terminal, width=120), written


def test_a_terminal_shows_the_bar_and_what_is_said_above_it() -> None:
    shown, written = console(terminal=True)
    with LiveBar(shown, "starting", total=10) as bar:
        bar.say("[a remark]")
        bar.show("round [1]", 4, 10)
    assert "[a remark]" in written.getvalue()
    assert "round [1]" in written.getvalue()
    assert "4/10" in written.getvalue()


def test_elsewhere_only_what_is_said_is_printed() -> None:
    shown, written = console(terminal=False)
    with LiveBar(shown, "starting", total=10) as bar:
        bar.say("[a remark]")
        bar.show("round [1]", 4, 10)
    assert written.getvalue() == "[a remark]\n"


@pytest.mark.parametrize("total", [1, 7, 10, 25, 1000])
def test_ten_lines_at_most_and_one_at_the_end(total: int) -> None:
    due = [done for done in range(1, total + 1) if is_tenth(done, total)]
    assert len(due) == min(total, 10)
    assert due[-1] == total


def test_a_training_says_a_line_at_every_tenth_and_every_accuracy() -> None:
    shown, written = console(terminal=False)
    display = TrainingDisplay(shown)
    for step in range(1, 21):
        display.on_progress(TrainingProgress(step, 20, step / 10))
        display.on_progress(TrainingProgress(step, 20, step / 10, loss=1 / step))
    display.on_progress(TrainingProgress(20, 20, 2.0, pair_accuracy=0.75))
    lines = written.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "step 2 of 20  epoch 0.2  loss 1.0000"
    assert lines[-1] == "epoch 2.0  loss 0.0500  held-out pair accuracy 0.750"


def test_a_benchmark_says_a_line_for_each_finished_cell() -> None:
    shown, written = console(terminal=False)
    progress = BenchmarkProgress(shown, total=5, finished=1)
    for cell, right in (("a", True), ("b", False), ("a", False), ("b", True)):
        progress.on_row(cell, 2, right, tokens=10)
    first, second = written.getvalue().splitlines()
    assert first.startswith("a  1/2 right (50.0%)")
    assert second.startswith("b  1/2 right (50.0%)")
    assert progress.finished == 5
