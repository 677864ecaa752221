"""The reliability plot of a PPM: success rate by score."""

from __future__ import annotations

from pathlib import Path

from treestar.plotting import new_figure, save_png
from treestar.ppm.evaluation import PPMEvaluation

__all__ = ["draw_reliability"]

SIZE = (6.4, 5.6)
BLUE, GRAY = "#4477aa", "#999999"


def draw_reliability(evaluation: PPMEvaluation, path: str | Path) -> None:
    """Draw the success rate of the trajectories that continue from a state against the state's score, as PNG.

    Raises:
        TreestarError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    bins = evaluation.reliability
    figure = new_figure(*SIZE)
    rates, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    rates.plot([-1, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1, label="score = 2 · success rate - 1")
    successes = [each.success for each in bins]
    rates.errorbar(
        [each.mean_score for each in bins],
        [success.value for success in successes],
        yerr=[  # rounding can put the mean slightly outside an interval of width 0
            [max(success.value - success.interval[0], 0.0) for success in successes],
            [max(success.interval[1] - success.value, 0.0) for success in successes],
        ],
        fmt="o-",
        color=BLUE,
        markersize=5,
        capsize=3,
        linewidth=1.2,
        elinewidth=1,
        label="states by score, with 95% intervals over problems",
    )
    rates.set_ylim(-0.03, 1.03)
    rates.set_ylabel("success rate of rollouts from the state")
    states = sum(each.success.count for each in bins)
    rates.set_title(f"Success rate by score: {states:,} states of {evaluation.auc.problems:,} problems")
    rates.legend(loc="upper left", fontsize="small", frameon=False)

    sizes = [each.success.count for each in bins]
    widths = [each.high - each.low for each in bins]
    bars = counts.bar(
        [each.low for each in bins], sizes, widths, align="edge", color=BLUE, alpha=0.6, edgecolor="white"
    )
    counts.bar_label(bars, [f"{size:,}" for size in sizes], fontsize="x-small", padding=1)
    counts.set_ylim(0, 1.25 * max(sizes))
    counts.set_yticks([])
    counts.set_ylabel("states")
    counts.set_xlabel("score")
    counts.set_xticks([tenths / 10 for tenths in range(-10, 11, 2)])
    counts.set_xlim(-1.02, 1.02)
    for axes in (rates, counts):
        axes.spines[["top", "right"]].set_visible(False)
    rates.grid(alpha=0.3, linewidth=0.6)
    save_png(figure, path)
