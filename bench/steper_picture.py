"""Draw how many questions each student of stepwise distillation answers, from the records of `steper.py`.

    python bench/steper_picture.py

Reads bench/results/steper.json and steper_three_epochs.json, and writes docs/pictures/steper.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interval_rows import draw_rows

from treestar.plotting import new_figure, save_png
from treestar.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "steper.png"

VARIANTS = {
    "final steps (vanilla distillation)": "vanilla-kd",
    "first and final steps": "first+final",
    "all steps, uniform weights": "all",
    "all steps, weights 1.5, 1, .5": "all, 1.5-1-0.5",
    "all steps, difficulty-aware": "all, difficulty-aware",
}
RECORDS = {"steper": ("one pass", "#c77d28"), "steper_three_epochs": ("three passes", "#00796b")}
"""Label and color of each record."""


def draw() -> Figure:
    figure = new_figure(7.5, 3.2)
    axes = figure.subplots()
    series = {}
    for record, (label, color) in RECORDS.items():
        variants: dict[str, Any] = read_json(ROOT / "bench" / "results" / f"{record}.json")["figures"]["variants"]
        series[label] = ({row: variants[name]["em"] for row, name in VARIANTS.items() if name in variants}, color)
    draw_rows(axes, list(VARIANTS), series, limit=105)
    axes.set_xlabel("answers that match exactly (EM), percent")
    axes.legend(frameon=False, loc="upper right", fontsize=9)
    return figure


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    save_png(draw(), PICTURE)
    print(f"written: {PICTURE.relative_to(ROOT)}")
