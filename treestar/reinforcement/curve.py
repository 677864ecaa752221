"""The curve of a GRPO job: what its log says about the steps between two evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SAMPLED", "Log", "Point", "cells_of", "curve_of", "measures_of"]

Log = Sequence[Mapping[str, Any]]
"""The trainer's log: figures by name, each with its `step`."""

SAMPLED = {
    "reward": "reward",
    "policy/correct": "correct",
    "policy/length": "tokens per trajectory",
    "entropy": "entropy",
    "groups/without_contrast": "groups without contrast",
    "policy/tool_error_when_correct": "tool error when correct",
    "policy/failed_steps": "failed steps",
    "policy/truncated": "truncated",
    "clip_ratio/region_mean": "clipped",
    "kl": "KL",
}
"""The figures of the sampled trajectories that a report shows, and their names there. `reward` is of the trajectories
that are learned from, those that begin with `policy` of all that were sampled."""

NOT_MEASURES = ("eval_tokens", "eval_seconds")


@dataclass(frozen=True)
class Point:
    """An evaluation, and the steps since the one before."""

    step: int
    tokens: int
    """Generated to learn from, up to here."""
    seconds: float
    """Of all steps up to here, without evaluations."""
    evaluation: Mapping[str, float]
    """Without `eval_` before the names."""
    means: Mapping[str, float]
    """Means of `SAMPLED` over the steps since the evaluation before; those that were never logged are missing."""


def curve_of(log: Log) -> list[Point]:
    """The points in order; if nothing was evaluated, one for all steps."""
    points: list[Point] = []
    since: list[Mapping[str, Any]] = []
    tokens = seconds = 0.0
    entries = sorted(log, key=lambda entry: (entry["step"], is_evaluation(entry)))
    for entry in entries:
        if not is_evaluation(entry):
            since.append(entry)
            tokens += entry.get("tokens/generated") or 0.0
            seconds += entry.get("step_time") or 0.0
            if entry is not entries[-1] or points:
                continue
        found = {name[5:]: value for name, value in entry.items() if name.startswith("eval_")}
        points.append(Point(int(entry["step"]), round(tokens), seconds, found, means_of(since)))
        since = []
    return points


def is_evaluation(entry: Mapping[str, Any]) -> bool:
    return "eval_greedy" in entry


def means_of(entries: Log) -> dict[str, float]:
    found = {}
    for name in SAMPLED:
        values = [entry[name] for entry in entries if entry.get(name) is not None]
        if values:
            found[name] = sum(values) / len(values)
    return found


def measures_of(points: Sequence[Point]) -> list[str]:
    """The measures of the evaluations: `greedy`, `pass@1`, `pass@8`."""
    names = {name for point in points for name in point.evaluation if f"eval_{name}" not in NOT_MEASURES}
    ends = ("_low", "_high")
    return sorted((name for name in names if "/" not in name and not name.endswith(ends)), key=measure_order)


def measure_order(name: str) -> tuple[bool, int]:
    return name != "greedy", int(name.partition("@")[2] or 0)


def cells_of(points: Sequence[Point]) -> list[str]:
    """The evaluated cells, in the order of the log."""
    names = (name for point in points for name in point.evaluation if name.startswith("greedy/"))
    return list(dict.fromkeys(name.removeprefix("greedy/") for name in names))
