"""Search records of `search_quality.py`, and the figures made from them: accuracies, paired differences, curves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean as mean
from typing import Any

import numpy as np

from treestar.statistics import bootstrap_intervals, paired_difference

__all__ = ["METHODS", "Line", "Rows", "by_problem", "compare", "curve", "draw", "method_figures", "read_lines"]


@dataclass
class Line:
    """One search of one problem."""

    strategy: str
    ppm: str
    """The PPM's training objective; "" without a PPM."""
    seed: int
    problem: str
    cell: str
    answers: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    """For each rule: (tokens generated, whether the answer chosen then is correct), at every change."""
    generated_tokens: int = 0
    scored_tokens: int = 0
    executions: int = 0
    nodes: int = 0
    stopped: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.strategy, self.ppm, self.seed, self.problem


def read_lines(path: Path) -> Iterator[Line]:
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            yield Line(**json.loads(text))


def right_at(line: Line, choice: str, tokens: int) -> bool:
    """Whether the answer that `choice` gave after at most `tokens` generated tokens is correct."""
    right = False
    for at, correct in line.answers[choice]:
        if at > tokens:
            break
        right = correct
    return right


METHODS: dict[str, tuple[str, str, str]] = {
    "greedy": ("greedy", "", "best"),
    "majority": ("samples", "pairs", "majority"),
    "best of n": ("samples", "pairs", "best"),
    "weighted vote": ("samples", "pairs", "weighted"),
    "beam search": ("beam", "pairs", "weighted"),
    "DVTS": ("dvts", "pairs", "weighted"),
    "adaptive branching": ("adaptive_branching", "pairs", "weighted"),
    "MCTS": ("mcts", "", "weighted"),
    "MCTS + PPM": ("mcts", "pairs", "weighted"),
    "MCTS + ORM": ("mcts", "orm", "weighted"),
    "MCTS + Q-regression": ("mcts", "q_regression", "weighted"),
    "best of n, ORM": ("samples", "orm", "best"),
    "TreeQuest StandardMCTS": ("treequest_mcts", "pairs", "own"),
    "TreeQuest ABMCTSA": ("treequest_ab_mcts_a", "pairs", "own"),
    "its_hub beam search": ("its_hub_beam", "pairs", "own"),
    "its_hub particle filtering": ("its_hub_particles", "pairs", "own"),
}
"""The report's rows: strategy, the PPM's objective, and the rule that chooses the answer."""

Rows = dict[str, list[Line]]
"""The lines of each problem, one per seed."""


def by_problem(rows: Rows, choice: str, tokens: int) -> dict[str, float]:
    """Each problem's share of seeds with a correct answer."""
    return {
        problem: sum(right_at(line, choice, tokens) for line in lines) / len(lines) for problem, lines in rows.items()
    }


def interval(values: Iterable[float]) -> dict[str, Any]:
    array = np.array(list(values), dtype=float)
    [[low, high]] = bootstrap_intervals(array[:, None])
    return {"accuracy": round(float(array.mean()), 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def method_figures(rows: Rows, accuracy: dict[str, float]) -> dict[str, Any]:
    lines = [line for each in rows.values() for line in each]
    cells = sorted({line.cell for line in lines})
    of_cell = {line.problem: line.cell for line in lines}
    return {
        **interval(accuracy.values()),
        "problems": len(rows),
        "seeds": len({line.seed for line in lines}),
        "cells": {cell: round(mean(v for p, v in accuracy.items() if of_cell[p] == cell), 3) for cell in cells},
        "generated_tokens": round(mean(line.generated_tokens for line in lines), 1),
        "scored_tokens": round(mean(line.scored_tokens for line in lines), 1),
        "executions": round(mean(line.executions for line in lines), 1),
        "stopped": dict(Counter(line.stopped for line in lines)),
    }


def compare(first: dict[str, float], second: dict[str, float]) -> dict[str, Any]:
    """Over the problems that both contain."""
    shared = sorted(first.keys() & second.keys())
    return paired_difference([first[each] for each in shared], [second[each] for each in shared])


def curve(rows: Rows, choice: str, most: int) -> list[dict[str, Any]]:
    budgets = [most * 2**power // 32 for power in range(6)]
    return [{"tokens": tokens, **interval(by_problem(rows, choice, tokens).values())} for tokens in budgets]


def draw(figures: dict[str, Any], path: Path) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colors = colormaps["tab20"].colors
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, points) in enumerate(figures["accuracy by tokens"].items()):
        ends = list(zip(*[point["interval"] for point in points], strict=True))
        tokens = [point["tokens"] for point in points]
        accuracy = [point["accuracy"] for point in points]
        axes.plot(tokens, accuracy, marker="o", markersize=3, label=name, color=colors[index])
        axes.fill_between(tokens, *ends, color=colors[index], alpha=0.1, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("maximum generated tokens per problem")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
