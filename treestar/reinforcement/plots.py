"""curve.png of a GRPO job: accuracy on held-out problems, the reward, and what the sampled trajectories are like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treestar.plotting import new_figure, save_png
from treestar.reinforcement.curve import Log, Point, cells_of, measures_of

__all__ = ["draw_curve"]

COLORS = ("#4477aa", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#ee6677")
WIDTH, HEIGHT = 10.0, 7.0
"""Inches."""

PANELS = (
    ("Sampled trajectories", {"policy/correct": "correct", "reward": "reward of those learned from"}),
    (
        "Groups and tool errors",
        {
            "groups/without_contrast": "groups without contrast",
            "policy/tool_error_when_correct": "correct with a tool error",
        },
    ),
)


def draw_curve(points: Sequence[Point], log: Log, path: str | Path) -> None:
    """Draw the curve as PNG.

    Raises:
        TreestarError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = new_figure(WIDTH, HEIGHT)
    panels = figure.subplots(2, 2)
    draw_accuracy(panels[0][0], points)
    for axes, (title, names) in zip((panels[0][1], panels[1][0]), PANELS, strict=True):
        draw_figures(axes, log, title, names)
    draw_length_and_entropy(panels[1][1], log)
    for axes in panels.flat:
        axes.set_xlabel("step")
        axes.xaxis.get_major_locator().set_params(integer=True)
    save_png(figure, path)


def draw_accuracy(axes: Any, points: Sequence[Point]) -> None:
    """The means over cells with their intervals, and the greedy accuracy of every cell behind them."""
    evaluated = [point for point in points if point.evaluation]
    steps = [point.step for point in evaluated]
    cells = cells_of(evaluated)
    for cell in cells if len(cells) > 1 else ():
        axes.plot(steps, [point.evaluation[f"greedy/{cell}"] for point in evaluated], color="#cccccc", linewidth=0.8)
    for measure, color in zip(measures_of(evaluated), COLORS, strict=False):
        values = [point.evaluation[measure] for point in evaluated]
        axes.plot(steps, values, color=color, marker="o", markersize=4, label=measure)
        low, high = ([point.evaluation[f"{measure}{end}"] for point in evaluated] for end in ("_low", "_high"))
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_ylim(0, 1.02)
    axes.set_title("Accuracy on problems never trained on, 95%", fontsize="medium")
    tidy(axes)


def draw_figures(axes: Any, log: Log, title: str, names: dict[str, str]) -> None:
    for (name, label), color in zip(names.items(), COLORS, strict=False):
        axes.plot(*series(log, name), color=color, linewidth=1.2, label=label)
    axes.set_title(title, fontsize="medium")
    tidy(axes)


def draw_length_and_entropy(axes: Any, log: Log) -> None:
    """Two figures of different units: tokens on the left axis, nats on the right."""
    axes.plot(*series(log, "policy/length"), color=COLORS[0], linewidth=1.2, label="tokens per trajectory")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.plot(*series(log, "entropy"), color=COLORS[3], linewidth=1.2, label="entropy (right)")
    right.set_ylim(bottom=0)
    right.spines[["top"]].set_visible(False)
    axes.set_title("Length, and entropy in nats per token", fontsize="medium")
    tidy(axes, right)


def series(log: Log, name: str) -> tuple[list[int], list[float]]:
    found = [(entry["step"], entry[name]) for entry in log if entry.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def tidy(axes: Any, *others: Any) -> None:
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top"]].set_visible(False)
    handles = [handle for each in (axes, *others) for handle in each.get_legend_handles_labels()[0]]
    if handles:
        axes.legend(handles=handles, fontsize="small", frameon=False)
