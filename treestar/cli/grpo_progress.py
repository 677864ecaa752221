"""The progress of reinforcement learning: a bar with the figures of the last step, and a line for each evaluation."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from treestar.cli.progress import LiveBar, is_tenth
from treestar.training.grpo.progress import GRPOProgress

__all__ = ["GRPODisplay"]


class GRPODisplay(LiveBar):
    """A live bar on a terminal; otherwise a line at every tenth of the steps. Everywhere a line per evaluation."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "loading")
        self.line = ""
        self.tokens = self.seconds = 0.0

    def on_progress(self, progress: GRPOProgress) -> None:
        figures = progress.figures
        if "eval_greedy" in figures:
            self.say(f"step {progress.step:,}: {evaluation_line(figures)}")
        elif "loss" in figures:
            self.tokens += figures.get("tokens/generated", 0.0)
            self.seconds += figures.get("step_time", 0.0)
            self.line = step_line(figures, self.line)
            speed = f"  {self.tokens / self.seconds:,.0f} tokens/s" if self.seconds else ""
            if not self.console.is_terminal and is_tenth(progress.step, progress.steps):
                self.say(f"step {progress.step:,} of {progress.steps:,}  {self.line}{speed}")
            self.show(self.line + speed, progress.step, progress.steps)

    def on_report(self, report: dict[str, Any]) -> None:
        """Print what the whole training took."""
        line = f"{report['steps']:,} steps, {report['tokens']:,} tokens generated to learn from"
        self.say(f"{line} in {report['seconds']:,.0f} s")


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
