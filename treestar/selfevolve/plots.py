"""progress.png of a self-evolution job: coverage of the training problems and accuracy, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

from treestar.plotting import new_figure, save_png
from treestar.selfevolve.round_reports import (
    DIFFICULTIES,
    MEASURES,
    RoundReport,
    cells_of,
    coverage,
    in_order,
    mean_accuracy,
    measured,
    round_name,
)

__all__ = ["draw_progress"]

COLORS = {"greedy": "#4477aa", "ppm_fixed_policy": "#ccbb44", "search": "#228833"}
MARKERS = {"greedy": "o", "ppm_fixed_policy": "s", "search": "^"}
SHADES = {"easy": "#228833", "medium": "#7fc97f", "hard": "#ccbb44", "unsolved": "#dddddd"}
MAPPED = ("greedy", "search")
"""Measures that are also plotted by cell."""
WIDTH, TOP_HEIGHT, CELL_HEIGHT, MAP_MARGIN = 10.0, 4.6, 0.26, 0.9
"""Inches."""
SMALLEST_LABELLED = 0.05
"""Minimum share of a bar that has room for its number."""


def draw_progress(reports: Sequence[RoundReport], path: str | Path) -> None:
    """Draw the results of the rounds as PNG: at the top coverage by difficulty and the mean accuracy over cells, below
    the accuracy of every cell.

    Raises:
        TreestarError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    reports = in_order(reports)
    panels = [draw_coverage] if any(map(coverage, reports)) else []
    panels += [draw_accuracy] if any(cells_of(reports, measure) for measure in MEASURES) else []
    maps = [measure for measure in MAPPED if len(cells_of(reports, measure)) > 1]
    heights = [TOP_HEIGHT] if panels else []
    heights += [MAP_MARGIN + CELL_HEIGHT * max(len(cells_of(reports, each)) for each in maps)] if maps else []
    figure = new_figure(WIDTH, sum(heights) or TOP_HEIGHT)
    parts = iter(figure.subfigures(max(1, len(heights)), 1, height_ratios=heights or None, squeeze=False)[:, 0])
    if panels:
        for draw, axes in zip(panels, next(parts).subplots(1, len(panels), squeeze=False)[0], strict=True):
            draw(axes, reports)
    if maps:
        for measure, axes in zip(maps, next(parts).subplots(1, len(maps), squeeze=False)[0], strict=True):
            draw_cells(axes, reports, measure)
    save_png(figure, path)


def draw_coverage(axes: Any, reports: Sequence[RoundReport]) -> None:
    """One bar per round, of its problems by difficulty; the interval is that of the solved share."""
    shown = [(report, solved) for report in reports if (solved := coverage(report)) is not None]
    bottoms = [0.0] * len(shown)
    for name in DIFFICULTIES:
        counts = [report["search"].get("by_difficulty", {}).get(name, 0) for report, _ in shown]
        heights = [each / report["search"]["problems"] for each, (report, _) in zip(counts, shown, strict=True)]
        axes.bar(range(len(shown)), heights, 0.72, bottoms, color=SHADES[name], edgecolor="white", label=name)
        for x, (height, bottom) in enumerate(zip(heights, bottoms, strict=True)):
            if height >= SMALLEST_LABELLED:
                color = "white" if name == "easy" else "black"
                axes.text(x - 0.12, bottom + height / 2, f"{100 * height:.0f}%", ha="center", va="center", color=color)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    values = [solved.value for _, solved in shown]
    bars = [[s.value - s.low for _, s in shown], [s.high - s.value for _, s in shown]]
    places = [x + 0.22 for x in range(len(shown))]
    axes.errorbar(places, values, yerr=bars, fmt="_", color="black", capsize=4, linewidth=1.2, label="solved, 95%")
    axes.set_xticks(range(len(shown)), [f"{round_name(r)}\nn = {r['search']['problems']:,}" for r, _ in shown])
    axes.set(xlim=borders(len(shown)), ylim=(0, 1))
    axes.set(title="Coverage by difficulty", ylabel="share of the training problems")
    tidy(axes)


def draw_accuracy(axes: Any, reports: Sequence[RoundReport]) -> None:
    """The mean accuracy over cells, one line per measure, without rounds that were not evaluated on all cells."""
    ticks = [report for report in reports if any(measured(report, measure) for measure in MEASURES)]
    for place, (measure, words) in enumerate(MEASURES.items()):
        cells = cells_of(reports, measure)
        points = [
            (x, mean_accuracy(figures, cells))
            for x, report in enumerate(ticks)
            if (figures := measured(report, measure)) and len(figures) == len(cells)
        ]
        if points:
            axes.errorbar(
                [x + (place - 1) * 0.06 for x, _ in points],
                [mean.value for _, mean in points],
                yerr=[[m.value - m.low for _, m in points], [m.high - m.value for _, m in points]],
                color=COLORS[measure],
                marker=MARKERS[measure],
                markersize=5,
                capsize=3,
                linewidth=1.6,
                elinewidth=1,
                label=words,
            )
    axes.set_xticks(range(len(ticks)), map(round_name, ticks))
    axes.set(xlim=borders(len(ticks)), ylim=(0, 1.02))
    axes.set(title="Accuracy on problems never trained on", ylabel="mean accuracy over cells")
    tidy(axes)


def draw_cells(axes: Any, reports: Sequence[RoundReport], measure: str) -> None:
    """The accuracy of every cell in every round, as a heat map with the numbers in percent."""
    shown = [report for report in reports if measured(report, measure)]
    cells = cells_of(shown, measure)
    values = [
        [measured(report, measure)[cell].value if cell in measured(report, measure) else nan for report in shown]
        for cell in cells
    ]
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if not isnan(value):
                color = "white" if value > 0.6 else "black"
                axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize="small", color=color)
    axes.set_xticks(range(len(shown)), map(round_name, shown))
    axes.set_yticks(range(len(cells)), cells, fontsize="small")
    axes.tick_params(length=0)
    axes.set_title(f"Accuracy in percent: {MEASURES[measure]}", fontsize="medium")
    axes.spines[:].set_visible(False)


def borders(rounds: int) -> tuple[float, float]:
    """The limits of the horizontal axis. A single round is centered, and not wider than one of two rounds."""
    return (-1.1, 1.1) if rounds == 1 else (-0.6, rounds - 0.4)


def tidy(axes: Any) -> None:
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize="small", frameon=False)
