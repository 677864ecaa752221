"""report.md and curve.png of a GRPO job: the curve on held-out problems, and what the sampled trajectories are like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from treestar.benchmarks.report import in_percent, table
from treestar.plotting import drawn
from treestar.reinforcement.curve import SAMPLED, Log, Point, cells_of, curve_of, measures_of
from treestar.reinforcement.plots import draw_curve
from treestar.storage.files import write_text, writing
from treestar.training.grpo.progress import GRPOProgress

__all__ = ["render_report", "reporting", "write_report"]

MOST_COLUMNS = 8
"""Evaluations that the table of cells shows, spread over the run."""

IN_PERCENT = {
    "policy/correct",
    "groups/without_contrast",
    "policy/tool_error_when_correct",
    "policy/failed_steps",
    "policy/truncated",
    "clip_ratio/region_mean",
}


def reporting(folder: Path, on_progress: Callable[[GRPOProgress], None]) -> Callable[[GRPOProgress], None]:
    """`on_progress`, which after every evaluation also writes the report into `folder`."""

    def report(progress: GRPOProgress) -> None:
        on_progress(progress)
        if "eval_greedy" in progress.figures:
            write_report(progress.log, folder)

    return report


def write_report(log: Log, folder: Path) -> list[Path]:
    """Write report.md and curve.png into `folder`, and return their paths. The picture needs matplotlib.

    Raises:
        TreestarError: a file cannot be written.
    """
    text, picture = folder / "report.md", folder / "curve.png"
    with writing(folder):
        write_text(text, render_report(log, drawn(partial(draw_curve, curve_of(log), log), picture)))
    return [each for each in (text, picture) if each.exists()]


def render_report(log: Log, picture: str = "") -> str:
    """The report as Markdown.

    Args:
        log: the trainer's log so far.
        picture: the Markdown of the picture.
    """
    points = curve_of(log)
    steps = max((int(entry["step"]) for entry in log), default=0)
    parts = [
        f"# Reinforcement learning, {steps} step{'' if steps == 1 else 's'}",
        picture,
        *evaluation_section(points),
        *sampling_section(points),
        *skipped_section(log),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def evaluation_section(points: Sequence[Point]) -> list[str]:
    measures = measures_of(points)
    if not measures:
        return []
    rows = [
        [f"{point.step:,}", f"{point.tokens:,}", f"{point.seconds:,.0f}"]
        + [interval(point.evaluation, measure) for measure in measures]
        for point in points
    ]
    sections = [
        "## On problems never trained on",
        "Percent, with 95% intervals in brackets. The mean over cells counts each cell alike; its interval takes the "
        "cells as independent. Tokens and seconds are those of the training, without evaluations.",
        table(["step", "generated tokens", "seconds", *measures], rows),
    ]
    cells = cells_of(points)
    if len(cells) > 1:
        shown = spread([point for point in points if point.evaluation])
        by_cell = [[cell, *(percent(point.evaluation.get(f"greedy/{cell}")) for point in shown)] for cell in cells]
        head = ["greedy, by cell", *(f"step {point.step:,}" for point in shown)]
        sections += [table(head, by_cell), forgotten(shown[0], shown[-1], cells)]
    return sections


def forgotten(first: Point, last: Point, cells: Sequence[str]) -> str:
    """A sentence on the cells whose greedy accuracy is lower than at the beginning."""
    before, after = first.evaluation, last.evaluation
    lower = [
        f"{cell} ({percent(before[f'greedy/{cell}'])} to {percent(after[f'greedy/{cell}'])})"
        for cell in cells
        if after[f"greedy/{cell}"] < before[f"greedy/{cell}"]
    ]
    if first.step == last.step:
        return ""
    return f"Lower than at step {first.step:,}: {', '.join(lower)}." if lower else "No cell is lower than it was."


def sampling_section(points: Sequence[Point]) -> list[str]:
    shown = [point for point in points if point.means]
    names = [name for name in SAMPLED if any(name in point.means for point in shown)]
    rows = [[f"{point.step:,}", *(figure(name, point.means.get(name)) for name in names)] for point in shown]
    if not rows:
        return []
    return [
        "## Sampled trajectories",
        "Means over the steps since the row before. `reward` is that of the trajectories that were learned from; the "
        "other figures are of all that were sampled. Entropy is in nats per token, shares are in percent. A tool error "
        "is a step whose code failed.",
        table(["step", *(SAMPLED[name] for name in names)], rows),
    ]


def skipped_section(log: Log) -> list[str]:
    """What was left out, if anything was."""
    counts = {
        "groups replaced by others, because they had no contrast": "groups/replaced",
        "problems whose prompt leaves no room for a trajectory": "skipped/problems",
        "rewards that were not finite numbers": "skipped/rewards",
    }
    found = {words: sum(entry.get(name) or 0 for entry in log) for words, name in counts.items()}
    lines = [f"- {count:,.0f} {words}" for words, count in found.items() if count]
    return ["## Left out", "\n".join(lines)] if lines else []


def spread(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_COLUMNS` of the points, the first and the last among them."""
    if len(points) <= MOST_COLUMNS:
        return list(points)
    return [points[round(place * (len(points) - 1) / (MOST_COLUMNS - 1))] for place in range(MOST_COLUMNS)]


def interval(evaluation: Mapping[str, float], measure: str) -> str:
    if measure not in evaluation:
        return ""
    return in_percent(*(evaluation[f"{measure}{end}"] for end in ("", "_low", "_high")))


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}"


def figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name in IN_PERCENT:
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if name == "policy/length" else f"{value:.3f}"
