"""How accuracy follows the length of thoughts: Control, Scaling and Performance of s1 (Muennighoff et al. 2025,
arXiv 2501.19393, section 3.2), over runs with different thinking budgets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from treestar.benchmarks.matrix import Cell

__all__ = ["scaling", "thinking_summaries", "thought_tokens"]

PER_TOKENS = 1000
"""Scaling is in percentage points per this many thinking tokens; the paper names no unit."""


def scaling(curve: Sequence[tuple[float, float]]) -> float | None:
    """The mean slope between all pairs of points; None if no two differ in x.

    Args:
        curve: (thinking tokens, accuracy) of each run.
    """
    slopes = [(f_b - f_a) / (b - a) for (a, f_a), (b, f_b) in combinations(sorted(curve), 2) if b > a]
    return sum(slopes) / len(slopes) if slopes else None


def thought_tokens(ids: Sequence[int], opening: int, closing: int) -> int:
    """Tokens of the thought in a reply, without those that begin and end it; all of it if it does not end."""
    end = ids.index(closing) if closing in ids else len(ids)
    return end - (ids.index(opening) + 1 if opening in ids[:end] else 0)


def thinking_summaries(found: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Cell]) -> list[dict[str, Any]]:
    """For each kind of answer: Control, Scaling and Performance over its thinking budgets, and the curve.

    - `control`: the share of runs whose thoughts all have at most their budget, in [0, 1].
    - `scaling`: percentage points per `PER_TOKENS` tokens of budget.
    - `performance`: the largest accuracy, in [0, 1].

    Args:
        found: the metrics of each task.
    """
    curves: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for task, cell in tasks.items():
        if cell.thinking is None:
            continue
        metrics = found[task]
        for name in metrics:
            if name.startswith("acc,") and "@" not in name:
                kind = task.replace(f"/thinking={cell.thinking}", "")
                point = {
                    "budget": cell.thinking,
                    "thinking_tokens": metrics.get("thinking_tokens,none"),
                    "within_budget": metrics.get("within_budget,none"),
                    "accuracy": metrics[name],
                    "interval": metrics[f"acc_interval,{name.removeprefix('acc,')}"],
                }
                curves[kind, name.removeprefix("acc,")].append(point)
    return [
        {"answer": f"{kind},{chosen}", **of_curve(sorted(curve, key=lambda point: int(point["budget"])))}
        for (kind, chosen), curve in curves.items()
    ]


def of_curve(curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measured = [point["within_budget"] for point in curve if point["within_budget"] is not None]
    slope = scaling([(point["budget"], 100 * point["accuracy"]) for point in curve])
    return {
        "control": sum(share == 1.0 for share in measured) / len(measured) if measured else None,
        "scaling": None if slope is None else round(PER_TOKENS * slope, 4),
        "performance": max(point["accuracy"] for point in curve),
        "runs": len(curve),
        "curve": list(curve),
    }
