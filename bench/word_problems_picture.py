"""Draw the greedy accuracy of each default policy so far, from the records of `word_problems.py`.

    python bench/word_problems_picture.py

Writes docs/pictures/word_problems.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from treestar.storage.files import read_json

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "word_problems.png"

POLICIES = {
    "word_problems_former": ("first adapter", "#c4c4c4"),
    "word_problems_before": ("second", "#a3c4bf"),
    "word_problems_base": ("embedded-base", "#76aea7"),
    "word_problems_taught": ("embedded-taught", "#3f8a80"),
    "word_problems_shipped": ("embedded", "#00473f"),
}
"""Label and color of each record, in the order in which the policies were made."""

SETS = {
    "everyday": "everyday",
    "everyday_check": "everyday check",
    "svamp": "SVAMP",
    "asdiv": "ASDiv",
    "gsm8k": "GSM8K",
}
BAR = 0.165


def bars(record: str) -> list[tuple[int, float, float, float]]:
    """For every set that was measured its place, and the accuracy in percent with its interval."""
    figures: dict[str, Any] = read_json(ROOT / "bench" / "results" / f"{record}.json")["figures"]
    found = []
    for place, name in enumerate(SETS):
        if f"{name}, greedy" in figures:
            accuracy, (low, high) = figures[f"{name}, greedy"]["acc,none"]
            found.append((place, 100 * accuracy, 100 * low, 100 * high))
    return found


def draw() -> Figure:
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for index, (record, (label, color)) in enumerate(POLICIES.items()):
        places, accuracy, low, high = zip(*bars(record), strict=True)
        lefts = [place + (index - (len(POLICIES) - 1) / 2) * BAR for place in places]
        below = [value - end for value, end in zip(accuracy, low, strict=True)]
        above = [end - value for value, end in zip(accuracy, high, strict=True)]
        axes.bar(lefts, accuracy, BAR * 0.92, color=color, label=label)
        axes.errorbar(lefts, accuracy, (below, above), fmt="none", ecolor="#444444", elinewidth=0.8, capsize=2)
        for left, value, end in zip(lefts, accuracy, high, strict=True):
            axes.annotate(f"{value:.0f}", (left, end), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xticks(range(len(SETS)), list(SETS.values()))
    axes.set_ylabel("right, percent (greedy)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    return figure


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    draw().savefig(PICTURE, dpi=150)
    print(f"written: {PICTURE.relative_to(ROOT)}")
