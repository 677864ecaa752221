"""What `recipes.word_problems.gpu.run policy` came to: its log as a record, and as a picture.

    python -m recipes.word_problems.gpu.run policy --data DATA --out OUT | tee LOG
    python bench/word_problems_gpu.py LOG

The accuracy of greedy programs before the training, after the shown programs and after the rewards, on whole test sets
(a program is right if it prints the answer), the loss, and the share of right programs while rewards were learned.
Writes bench/results/word_problems_gpu.json and docs/pictures/word_problems_gpu.png.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from treestar.statistics import binomial_interval
from treestar.storage.record import write_record

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "bench" / "results" / "word_problems_gpu.json"
PICTURE = ROOT / "docs" / "pictures" / "word_problems_gpu.png"

SHOWN = re.compile(r"rows: step (?P<step>\d+), (?P<seconds>\d+) s, (?P<tokens>[\d,]+) tokens, loss (?P<loss>[\d.]+)")
GREEDY = re.compile(r"greedy, (?P<stage>\w+): (?P<right>\{.*\})")
REWARDS = re.compile(r"rewards: (?P<step>\{.*\})")

COLORS = {"gsm8k": "#2f6f8f", "svamp": "#76aea7", "asked": "#c98b3b", "template": "#8a8f98"}


def figures_of(log: str) -> dict[str, Any]:
    """The log's lines as figures."""
    shown = [found.groupdict() for found in SHOWN.finditer(log)]
    greedy = {found["stage"]: json.loads(found["right"]) for found in GREEDY.finditer(log)}
    return {
        "greedy": {
            stage: {name: with_interval(*each) for name, each in sets.items()} for stage, sets in greedy.items()
        },
        "shown": [
            {
                "step": int(each["step"]),
                "seconds": int(each["seconds"]),
                "tokens": int(each["tokens"].replace(",", "")),
                "loss": float(each["loss"]),
            }
            for each in shown
        ],
        "rewards": [json.loads(found["step"]) for found in REWARDS.finditer(log)],
    }


def with_interval(share: float, problems: int) -> dict[str, Any]:
    low, high = binomial_interval(round(share * problems), problems)
    return {"right": share, "interval": [round(low, 4), round(high, 4)], "problems": problems}


def draw(figures: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    loss, right = figure.subplots(1, 2)
    loss.plot([row["tokens"] / 1e6 for row in figures["shown"][1:]], [row["loss"] for row in figures["shown"][1:]])
    loss.set_xlabel("tokens of shown programs, millions")
    loss.set_ylabel("loss per written token")
    loss.set_ylim(0)
    steps = figures["rewards"]
    for source, color in COLORS.items():
        places = [row["step"] for row in steps if source in row["right"]]
        shares = [100 * row["right"][source] for row in steps if source in row["right"]]
        right.plot(places, smoothed(shares), color=color, label=source)
    right.set_xlabel("step of learning by rewards (4,096 programs each)")
    right.set_ylabel("right programs, percent")
    right.set_ylim(0, 100)
    right.legend(frameon=False)
    for axes in (loss, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def smoothed(values: list[float], width: int = 5) -> list[float]:
    """Means of up to `width` values, the last of them at its place."""
    parts = [values[max(0, place + 1 - width) : place + 1] for place in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--device", default="NVIDIA H200", help="the device that trained")
    arguments = parser.parse_args()
    figures = {"device": arguments.device, **figures_of(arguments.log.read_text(encoding="utf-8"))}
    command = "python -m recipes.word_problems.gpu.run policy --data DATA --out OUT"
    write_record(RECORD, figures, 0, command)
    draw(figures).savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    main()
