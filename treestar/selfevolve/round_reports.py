"""The figures in the reports of a job's rounds, as tables and pictures need them.

A round report is what a round writes to round-K/report.json. Round 0 is the bootstrap policy, which is only measured.
What a round has not measured or not done is missing in its report, or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from typing import Any, NamedTuple

__all__ = [
    "DIFFICULTIES",
    "MEASURES",
    "Figure",
    "RoundReport",
    "cells_of",
    "coverage",
    "in_order",
    "mean_accuracy",
    "measured",
    "round_name",
]

RoundReport = Mapping[str, Any]

DIFFICULTIES = ("easy", "medium", "hard", "unsolved")

MEASURES = {
    "greedy": "policy without search",
    "ppm_fixed_policy": "PPM, policy of round 1",
    "search": "full system",
}
"""What a round's models are measured by: the paper's tables 3, 4 and 6."""


class Figure(NamedTuple):
    """A share in [0, 1] with its 95% interval."""

    value: float
    low: float
    high: float


def in_order(reports: Iterable[RoundReport]) -> list[RoundReport]:
    """The reports, round by round."""
    return sorted(reports, key=lambda report: int(report["round"]))


def round_name(report: RoundReport) -> str:
    return f"round {report['round']}" if report["round"] else "bootstrap"


def coverage(report: RoundReport) -> Figure | None:
    """The share of a round's problems that its searches solved, with a bootstrap interval over the problems."""
    import numpy as np

    from treestar.statistics import bootstrap_intervals

    search = report.get("search") or {}
    problems, solved = search.get("problems", 0), search.get("solved", 0)
    if not problems:
        return None
    [[low, high]] = bootstrap_intervals((np.arange(problems) < solved)[:, None].astype(float))
    return figure(solved / problems, float(low), float(high))


def measured(report: RoundReport, measure: str) -> dict[str, Figure]:
    """The accuracy by cell; empty where the round was not measured so."""
    cells = (report.get("evaluation") or {}).get(measure) or {}
    return {cell: figure(found["accuracy"], *found["interval"]) for cell, found in cells.items()}


def cells_of(reports: Sequence[RoundReport], measure: str) -> list[str]:
    """The cells that any round was measured on, in the order of their first appearance."""
    return list(dict.fromkeys(cell for report in reports for cell in measured(report, measure)))


def mean_accuracy(figures: Mapping[str, Figure], cells: Iterable[str]) -> Figure:
    """The mean over cells, each counting alike. The ends of its interval are the cells' distances to theirs, added as
    those of independent errors."""
    chosen = [figures[cell] for cell in cells]
    value = sum(each.value for each in chosen) / len(chosen)
    below = hypot(*(each.value - each.low for each in chosen)) / len(chosen)
    above = hypot(*(each.high - each.value for each in chosen)) / len(chosen)
    return figure(value, max(0.0, value - below), min(1.0, value + above))


def figure(value: float, low: float, high: float) -> Figure:
    """A figure whose interval holds it, which rounding may just have prevented."""
    return Figure(value, min(low, value), max(high, value))
