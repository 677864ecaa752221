"""Draw the README's picture: accuracy against generated tokens, from the record of `search_quality.py`.

    python bench/readme_picture.py

Reads bench/results/search_quality_curve.json and writes docs/pictures/accuracy_by_tokens.png. A method's line starts
where its first trajectories are finished: with fewer tokens its accuracy is 0 by construction.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "bench" / "results" / "search_quality_curve.json"
PICTURE = ROOT / "docs" / "pictures" / "accuracy_by_tokens.png"

STYLES = {
    "MCTS + PPM": ("MCTS + PPM", "#00796b", 2.6),
    "beam search": ("beam search", "#c77d28", 1.4),
    "DVTS": ("DVTS", "#8a6fb3", 1.4),
    "weighted vote": ("weighted vote", "#3c78b4", 1.4),
    "best of n": ("best of n", "#b0578d", 1.4),
    "majority": ("majority", "#777777", 1.4),
}
"""Label, color and line width of each method that is drawn."""
LABEL_HEIGHTS = {"MCTS + PPM": 0.722, "beam search": 0.703, "DVTS": 0.686, "weighted vote": 0.669}
"""Height of a label that would otherwise cover another one."""


def draw() -> Figure:
    record = json.loads(RECORD.read_text(encoding="utf-8"))["figures"]
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, (label, color, width) in STYLES.items():
        points = [point for point in record["accuracy by tokens"][name] if point["accuracy"] > 0.2]
        tokens = [point["tokens"] for point in points]
        accuracy = [point["accuracy"] for point in points]
        axes.plot(tokens, accuracy, color=color, linewidth=width, marker="o", markersize=3)
        height = LABEL_HEIGHTS.get(name, accuracy[-1])
        axes.annotate(
            label,
            (tokens[-1], height),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontweight="bold" if width > 2 else "normal",
        )
    greedy = record["methods"]["greedy"]["accuracy"]
    axes.axhline(greedy, color="#aaaaaa", linewidth=1, linestyle=":")
    axes.annotate("greedy", (220, greedy), (0, -4), textcoords="offset points", va="top", color="#888888")
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks := [220, 440, 880, 1760, 3520, 7040], [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(200, 13_500)
    axes.set_ylim(0.32, 0.76)
    axes.set_xlabel("generated tokens per problem, at most")
    axes.set_ylabel("accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    return figure


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    draw().savefig(PICTURE, dpi=150)
    print(f"written: {PICTURE.relative_to(ROOT)}")
