"""The progress of a training and of the data made for it: counts, a bar with the figures, and the results."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console

from treestar.cli.progress import LiveBar, is_tenth
from treestar.storage.table import Row
from treestar.training.grpo.progress import GRPOProgress
from treestar.training.run import TrainingProgress

__all__ = ["TrainingDisplay"]

ROWS_TOLD = 100
"""Without a terminal, a line is printed after so many rows."""


class TrainingDisplay(LiveBar):
    """A live bar on a terminal; otherwise a line at every tenth of the steps. Everywhere a line per evaluation."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "loading")
        self.loss: float | None = None
        self.step = 0
        self.line = ""
        self.tokens = self.seconds = 0.0
        self.rows: Counter[str] = Counter()

    def on_progress(self, progress: TrainingProgress) -> None:
        """Show a step of a training on a fixed set of data."""
        self.loss = self.loss if progress.loss is None else progress.loss
        line = f"epoch {progress.epoch:.1f}" + ("" if self.loss is None else f"  loss {self.loss:.4f}")
        self.show(line, progress.step, progress.steps)
        if progress.pair_accuracy is not None:
            self.say(f"{line}  held-out pair accuracy {progress.pair_accuracy:.3f}")
        elif progress.step > self.step:
            self.say_at_tenths(line, progress.step, progress.steps)
        self.step = progress.step

    def on_reinforcement(self, progress: GRPOProgress) -> None:
        """Show a step or an evaluation of reinforcement learning."""
        figures = progress.figures
        if "eval_greedy" in figures:
            self.say(f"step {progress.step:,}: {evaluation_line(figures)}")
        elif "loss" in figures:
            self.tokens += figures.get("tokens/generated", 0.0)
            self.seconds += figures.get("step_time", 0.0)
            self.line = step_line(figures, self.line)
            line = self.line + (f"  {self.tokens / self.seconds:,.0f} tokens/s" if self.seconds else "")
            self.say_at_tenths(line, progress.step, progress.steps)
            self.show(line, progress.step, progress.steps)

    def on_row(self, row: Row) -> None:
        """Count a row of a judge's data: of solutions, of labeled chunks or of solutions in chunks."""
        kind = "problems sampled" if "fate" in row else "chunks labeled" if "q" in row else "solutions cut"
        self.rows[kind] += 1
        line = ", ".join(f"{count:,} {name}" for name, count in self.rows.items())
        if not self.console.is_terminal and self.rows[kind] % ROWS_TOLD == 0:
            self.say(line)
        self.show(line, self.rows[kind], None)

    def on_report(self, report: dict[str, Any]) -> None:
        """Print what the whole training took."""
        learned = "tokens generated to learn from" if "log" in report else "tokens"
        line = f"{report['steps']:,} steps, {report['tokens']:,} {learned} in {report['seconds']:,.0f} s"
        if "pair_accuracy" in report:  # of a PPM; None if nothing was held out
            accuracy, pairs = report["pair_accuracy"], report["data"]["held_out_pairs"]
            line += f"; pair accuracy {accuracy:.3f} on {pairs:,} held-out pairs" if pairs else "; nothing was held out"
        self.say(line)

    def say_at_tenths(self, line: str, step: int, steps: int) -> None:
        if not self.console.is_terminal and is_tenth(step, steps):
            self.say(f"step {step:,} of {steps:,}  {line}")


def step_line(figures: Any, before: str) -> str:
    """The figures of a sampling; `before` for a step that had none."""
    if "policy/length" not in figures:
        return before
    parts = [f"reward {figures.get('reward', 0.0):.3f}"]
    if "policy/correct" in figures:
        parts.append(f"correct {figures['policy/correct']:.1%}")
    parts += [f"{figures['policy/length']:.0f} tokens", f"entropy {figures.get('entropy', 0.0):.3f}"]
    parts.append(f"without contrast {figures.get('groups/without_contrast', 0.0):.0%}")
    return "  ".join(parts)


def evaluation_line(figures: Any) -> str:
    """Each measure with its interval."""
    names = [name for name in figures if name.startswith("eval_") and f"{name}_low" in figures]
    return "  ".join(
        f"{name.removeprefix('eval_')} {figures[name]:.1%} ({figures[f'{name}_low']:.1%} to "
        f"{figures[f'{name}_high']:.1%})"
        for name in names
    )
