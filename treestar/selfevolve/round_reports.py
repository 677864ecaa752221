"""The figures in the reports of a job's rounds, for tables and plots.

A round report is the content of round-K/report.json. Round 0 is the bootstrap policy, which is only evaluated. Figures
that a round does not have are missing in its report, or empty.
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

MEASURES = {"greedy": "policy without search", "ppm_fixed_policy": "PPM, policy of round 1", "search": "full system"}
"""The evaluation measures of a round's models: the paper's tables 3, 4 and 6."""


class Figure(NamedTuple):
    """A share in [0, 1] with its 95% interval."""

    value: float
    low: float
    high: float


def in_order(reports: Iterable[RoundReport]) -> list[RoundReport]:
    """The reports in the order of rounds."""
    return sorted(reports, key=lambda report: int(report["round"]))


def round_name(report: RoundReport) -> str:
    return f"round {report['round']}" if report["round"] else "bootstrap"


def coverage(report: RoundReport) -> Figure | None:
    """The share of a round's problems that its searches solved, with an interval over the problems."""
    from treestar.statistics import share_interval

    search = report.get("search") or {}
    problems, solved = search.get("problems", 0), search.get("solved", 0)
    if not problems:
        return None
    low, high = share_interval([1.0] * solved + [0.0] * (problems - solved))
    return figure(solved / problems, low, high)


def measured(report: RoundReport, measure: str) -> dict[str, Figure]:
    """The accuracy by cell; empty if the round was not evaluated by this measure."""
    cells = (report.get("evaluation") or {}).get(measure) or {}
    return {cell: figure(found["accuracy"], *found["interval"]) for cell, found in cells.items()}


def cells_of(reports: Sequence[RoundReport], measure: str) -> list[str]:
    """The cells that any round was evaluated on, in order of first appearance."""
    return list(dict.fromkeys(cell for report in reports for cell in measured(report, measure)))


def mean_accuracy(figures: Mapping[str, Figure], cells: Iterable[str]) -> Figure:
    """The mean over cells with equal weights. The distances to the ends of its interval are combined from those of the
    cells as independent errors."""
    chosen = [figures[cell] for cell in cells]
    value = sum(each.value for each in chosen) / len(chosen)
    below = hypot(*(each.value - each.low for each in chosen)) / len(chosen)
    above = hypot(*(each.high - each.value for each in chosen)) / len(chosen)
    return figure(value, max(0.0, value - below), min(1.0, value + above))


def figure(value: float, low: float, high: float) -> Figure:
    """A figure inside its interval, which rounding can violate."""
    return Figure(value, min(low, value), max(high, value))
