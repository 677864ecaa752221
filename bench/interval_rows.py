"""A picture's rows of figures with their intervals; each row can have several, in different colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Figures", "draw_rows"]

Figures = Mapping[str, Sequence[float]]
"""Of a row's label: figure, low and high end of its interval. Rows can be missing."""

PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind a number, so that no line crosses it."""
HEIGHT = 0.62
"""What the figures of a row take of its height."""


def draw_rows(axes: Axes, rows: Sequence[str], series: Mapping[str, tuple[Figures, str]], limit: float = 100) -> None:
    """Draw figures in percent, the first row at the top.

    Args:
        series: figures by row and their color, by the label in the legend.
        limit: the right end of the axis.
    """
    gap = HEIGHT / len(series)
    for index, (label, (figures, color)) in enumerate(series.items()):
        places = [rows.index(row) + (index - (len(series) - 1) / 2) * gap for row in figures]
        values, low, high = zip(*figures.values(), strict=True)
        sides = [[value - end for value, end in zip(values, low, strict=True)]]
        sides.append([end - value for value, end in zip(values, high, strict=True)])
        axes.errorbar(values, places, xerr=sides, fmt="o", color=color, markersize=4.5, elinewidth=1.4, label=label)
        for value, end, place in zip(values, high, places, strict=True):
            axes.annotate(
                f"{value:.0f}", (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=PLAIN
            )
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, limit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
