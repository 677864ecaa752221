"""Draw what judges find and what search does with them, from the records of the judges' scripts.

    python bench/judge_picture.py

Reads bench/results/judge.json, judge_real.json, judge_search.json and judge_search_discriminative.json, and writes
docs/pictures/judge_first_error.png and judge_search.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interval_rows import Figures, draw_rows

from treestar.plotting import new_figure, save_png
from treestar.storage.files import read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"

OWN, BEST, GUESSING = "#c77d28", "#00796b", "#888888"

JUDGES = {
    "discriminative, abs_q": "discriminative-abs_q-0",
    "discriminative, rel_effective": "discriminative-rel_effective-0",
    "discriminative, rel_ratio": "discriminative-rel_ratio-0",
    "generative, rel_ratio": "grpo-rel_ratio-0",
}
"""What a judge is and the rule of its labels, and its name in judge.json."""

METHODS = {
    "MCTS + PPM": "mcts_ppm",
    "chunk reset, judge": "chunk_reset_judge",
    "best of n, judge": "best_of_n_judge",
    "best of n, PPM": "best_of_n_ppm",
    "majority": "majority",
}
BUDGETS = {500: "#a3c4bf", 1000: "#4f9a90", 2000: "#00473f"}
"""The budgets in tokens, and their colors."""
SEARCHES = {
    "judge_search_discriminative": "with the discriminative judge (two seeds)",
    "judge_search": "with the generative judge (one seed)",
}
"""Record and title of each half of the picture."""


def figures_of(record: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(ROOT / "bench" / "results" / f"{record}.json")["figures"]
    return found


def percent(value: float, interval: list[float]) -> tuple[float, float, float]:
    return 100 * value, 100 * interval[0], 100 * interval[1]


def f1(found: dict[str, Any]) -> tuple[float, float, float]:
    return percent(found["f1"], found["intervals"]["f1"])


def first_error() -> Figure:
    """F1 of the first error: of the toy's steps by judge and rule, and of ProcessBench by part."""
    figure = new_figure(8.6, 3.6)
    toy, real = figure.subplots(1, 2, width_ratios=[1.25, 1])
    record = figures_of("judge")
    judges = {label: record["judges"][name] for label, name in JUDGES.items()} | {"the toy's PPM": record["ppm"]}
    kinds = {"own verdict": ("own_verdict", OWN), "best threshold": ("best_threshold", BEST)}
    draw_rows(
        toy,
        list(judges),
        {
            kind: ({label: f1(found[name]) for label, found in judges.items()}, color)
            for kind, (name, color) in kinds.items()
        },
        limit=60,
    )
    toy.set_title(f"the toy's steps, {record['held_out']['solutions']} solutions", fontsize=10)
    measured = figures_of("judge_real")["processbench"]["discriminative"]
    parts = list(measured["baselines"]["random"])
    rules = {"own verdict": ("verdict", OWN), "best threshold": ("chosen", BEST)}
    draw_rows(
        real,
        parts,
        {
            kind: ({part: f1(measured["rules"][name]["subsets"][part]) for part in parts}, color)
            for kind, (name, color) in rules.items()
        },
        limit=60,
    )
    guessed = [100 * measured["baselines"]["random"][part]["f1"] for part in parts]
    real.vlines(guessed, [place - 0.4 for place in range(len(parts))], [place + 0.4 for place in range(len(parts))],
                color=GUESSING, linestyle=":", label="guessing")  # fmt: skip
    real.set_title(f"ProcessBench, {measured['solutions']} solutions", fontsize=10)
    for axes in (toy, real):
        axes.set_xlabel("F1 of the first error, percent")
    real.legend(frameon=False, loc="center right", fontsize=9)
    return figure


def at(method: dict[str, Any], tokens: int) -> tuple[float, float, float]:
    [point] = [point for point in method["by_tokens"] if point["tokens"] == tokens]
    return percent(point["accuracy"], point["interval"])


def search() -> Figure:
    """Accuracy of each method with each budget, by judge."""
    figure = new_figure(8.6, 4.0)
    halves = figure.subplots(1, len(SEARCHES), sharey=True)
    for axes, (name, title) in zip(halves, SEARCHES.items(), strict=True):
        methods = figures_of(name)["methods"]
        series: dict[str, tuple[Figures, str]] = {
            f"{tokens:,} tokens": ({label: at(methods[key], tokens) for label, key in METHODS.items()}, color)
            for tokens, color in BUDGETS.items()
        }
        draw_rows(axes, list(METHODS), series)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("problems solved, percent")
    halves[0].legend(frameon=False, loc="lower left", fontsize=9)
    return figure


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, draw in (("judge_first_error", first_error), ("judge_search", search)):
        save_png(draw(), PICTURES / f"{name}.png")
        print(f"written: docs/pictures/{name}.png")
