"""PRMBench (Song et al. 2025, arXiv 2501.03124, section 4.1): how well a scorer tells wrong steps from right ones, by
class of error.

A step is predicted to be right if its value is at least the threshold. PRMScore is the mean of the F1 of right steps
and the F1 of wrong steps. A class without wrong steps has an accuracy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treestar.benchmarks.solutions import PRMBENCH_CLASSES
from treestar.benchmarks.step_report import Results, label_of, ordered, report_of, results_of, with_interval
from treestar.benchmarks.step_values import Valued

__all__ = ["best_step_threshold", "prm_score", "prmbench_report", "prmbench_results", "prmbench_summary", "step_counts"]

RESAMPLES = 1000

Array = NDArray[np.float64]

FIGURES = {"prm_score": "PRMScore", "f1_right": "F1 right", "f1_wrong": "F1 wrong", "accuracy": "accuracy of steps"}
"""The figures of a report, and their names there."""


def prm_score(counts: Array) -> Array:
    """PRMScore, in [0, 1].

    Args:
        counts: shape (..., 4): right steps accepted and rejected, wrong steps rejected and accepted.
    """
    accepted, rejected, found, missed = np.moveaxis(counts, -1, 0)
    score: Array = (f1(accepted, rejected, missed) + f1(found, missed, rejected)) / 2.0
    return score


def f1(hits: Array, lost: Array, false: Array) -> Array:
    """2 hits / (2 hits + lost + false), 0 without any."""
    total = 2.0 * hits + lost + false
    shares: Array = np.where(total > 0.0, 2.0 * hits, 0.0) / np.where(total > 0.0, total, 1.0)
    return shares


def step_counts(valued: Sequence[Valued], threshold: float) -> Array:
    """The counts of `prm_score` for each solution, shape (solutions, 4)."""
    rows = []
    for each in valued:
        accepted, is_wrong = step_arrays([each])
        accepts = accepted >= threshold
        rows.append(
            [
                np.sum(accepts & ~is_wrong),
                np.sum(~accepts & ~is_wrong),
                np.sum(~accepts & is_wrong),
                np.sum(accepts & is_wrong),
            ]
        )
    return np.array(rows, dtype=float).reshape(-1, 4)


def step_arrays(valued: Sequence[Valued]) -> tuple[Array, NDArray[np.bool_]]:
    """The values of all steps, and whether each is wrong."""
    values = np.array([value for each in valued for value in each.values], dtype=float)
    is_wrong = np.array([step in each.wrong for each in valued for step in range(len(each.values))], dtype=bool)
    return values, is_wrong


def best_step_threshold(valued: Sequence[Valued]) -> float:
    """The threshold with the highest PRMScore on these solutions, between two values; of equals the lowest.

    Raises:
        ValueError: there are no steps.
    """
    values, is_wrong = step_arrays(valued)
    if not len(values):
        raise ValueError("a threshold needs solutions with steps")
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    below_wrong = np.concatenate([[0], np.cumsum(is_wrong[order])]).astype(float)
    below_right = np.arange(len(values) + 1) - below_wrong
    right, wrong = below_right[-1], below_wrong[-1]
    # No threshold lies between two equal values.
    usable = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    counts = np.stack([right - below_right, below_right, below_wrong, wrong - below_wrong], axis=-1)
    best = int(np.argmax(np.where(usable, prm_score(counts), -1.0)))
    if best == 0:
        return float(ranked[0])
    if best == len(ranked):
        return float(np.nextafter(ranked[-1], np.inf))
    return float((ranked[best - 1] + ranked[best]) / 2.0)


def prmbench_results(valued: Sequence[Valued], chosen_on: str | None, threshold: float | None = None) -> Results:
    """The content of results.json; arguments as for `processbench_results`.

    Raises:
        TreestarError: there is no solution of the class `chosen_on`.
    """
    return results_of(valued, chosen_on, threshold, best_step_threshold, measured, BASELINES)


def measured(classes: Mapping[str, Sequence[Valued]], threshold: float, left_out: str | None) -> Results:
    """The figures of each class at a threshold, of all steps, and of those of all classes but `left_out`."""
    counts = {name: step_counts(own, threshold) for name, own in classes.items()}
    others = [own for name, own in counts.items() if name != left_out]
    return {
        "classes": {name: figures(own) for name, own in counts.items()},
        "all": figures(np.concatenate(list(counts.values()))) if counts else None,
        "others": figures(np.concatenate(others)) if left_out is not None and others else None,
    }


def figures(counts: Array, intervals: bool = True) -> Results:
    """The figures of solutions with these counts, shape (solutions, 4)."""
    total = counts.sum(axis=0)
    result: Results = {
        "solutions": len(counts),
        "steps": float(total.sum()),
        "wrong_steps": float(total[2] + total[3]),
        **{name: float(value) for name, value in metrics(total).items()},
    }
    if intervals:
        draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
        sampled = metrics(draws @ counts)
        result["intervals"] = {
            name: tuple(map(float, np.quantile(values, [0.025, 0.975]))) for name, values in sampled.items()
        }
    return result


def metrics(counts: Array) -> dict[str, Array]:
    """The metrics of counts of the shape (..., 4)."""
    accepted, rejected, found, missed = np.moveaxis(counts, -1, 0)
    return {
        "prm_score": prm_score(counts),
        "f1_right": f1(accepted, rejected, missed),
        "f1_wrong": f1(found, missed, rejected),
        "accuracy": (accepted + found) / np.maximum(counts.sum(axis=-1), 1.0),
    }


def at_random(valued: Sequence[Valued]) -> Results:
    """What a coin for each step gives in expectation."""
    counts = step_counts(valued, -np.inf)
    right, wrong = counts[:, 0] / 2.0, counts[:, 3] / 2.0
    return figures(np.stack([right, right, wrong, wrong], axis=-1), intervals=False)


def always_correct(valued: Sequence[Valued]) -> Results:
    """What accepting every step gives."""
    return figures(step_counts(valued, -np.inf), intervals=False)


BASELINES = {"random": at_random, "always correct": always_correct}


def prmbench_report(results: Results, scorer: str) -> str:
    """The content of report.md."""
    about = (
        f"{results['solutions']:,} solutions. PRMScore is the mean of the F1 of right and of wrong steps. Percent, "
        "with 95% bootstrap intervals over solutions. MS has no wrong steps, so only its accuracy says anything."
    )

    def rows_of(rule: str, found: Results) -> list[list[str]]:
        classes = ordered(found["classes"], PRMBENCH_CLASSES)
        rows = [class_row(label_of(name, rule, results), own, name) for name, own in classes]
        rows.append(class_row("all", found["all"]))
        if found["others"] is not None:
            rows.append(class_row(f"all without {results['chosen_on']}", found["others"]))
        return rows

    head = ["class", "", "solutions", "wrong steps", *FIGURES.values()]
    return report_of(f"PRMBench of {scorer}", about, results, head, rows_of, FIGURES, PRMBENCH_CLASSES)


def class_row(label: str, found: Mapping[str, Any], name: str = "") -> list[str]:
    scores = [with_interval(found, key) for key in ("prm_score", "f1_right", "f1_wrong")]
    return [
        label,
        PRMBENCH_CLASSES.get(name, ""),
        f"{found['solutions']:,}",
        f"{found['wrong_steps']:,.0f}",
        *(scores if found["wrong_steps"] else [""] * len(scores)),
        with_interval(found, "accuracy"),
    ]


def prmbench_summary(results: Results) -> list[str]:
    """A line for each way to set the threshold: PRMScore of each class, and of all steps together."""
    lines = []
    for rule, found in results["rules"].items():
        own = [
            f"{PRMBENCH_CLASSES[name]} {100 * each['prm_score']:.1f}"
            for name, each in ordered(found["classes"], PRMBENCH_CLASSES)
            if each["wrong_steps"]
        ]
        of_all = 100 * found["all"]["prm_score"]
        lines.append(f"{rule} (threshold {found['threshold']:.4g}): {', '.join(own)}, all {of_all:.1f}")
    return lines
