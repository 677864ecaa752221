"""How well the first error of solutions is found (ProcessBench, Zheng et al. 2024, arXiv 2412.06559, section 3.1).

A solution's label is the index of its first wrong step, from 0, or NO_ERROR. A prediction is right if it is the label
exactly. The score is the harmonic mean (F1) of the accuracy on the solutions with an error and that on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from treestar.statistics import ENDS

__all__ = [
    "ACCURACIES",
    "NO_ERROR",
    "best_threshold",
    "first_error",
    "first_error_figures",
    "harmonic_mean",
]

NO_ERROR = -1
"""The label of a solution whose steps are all right."""

ACCURACIES = ("error_accuracy", "correct_accuracy", "f1")
"""The figures of predictions, see `first_error_figures`."""

RESAMPLES = 2000


def first_error(values: Sequence[float], threshold: float) -> int:
    """The index of the first step whose value is below `threshold`; NO_ERROR if there is none."""
    return next((index for index, value in enumerate(values) if value < threshold), NO_ERROR)


def first_error_figures(predicted: Sequence[int], labels: Sequence[int]) -> dict[str, Any]:
    """How good predictions are, one for each label.

    Returns:
        The numbers of `erroneous` and `correct` solutions; `error_accuracy`, the share of the erroneous whose first
        error was found exactly, and `correct_accuracy`, that of the correct in which none was seen, each in [0, 1] and
        0 without such solutions; `f1`, their harmonic mean; and `intervals`, the ends of 95% bootstrap intervals of
        these three. Whole solutions are resampled, those with an error and those without one apart, because the set
        fixes how many there are of each.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(predicted, labels, strict=True))
    located = [one == label for one, label in pairs if label != NO_ERROR]
    accepted = [one == label for one, label in pairs if label == NO_ERROR]
    shares = [sum(hits) / max(len(hits), 1) for hits in (located, accepted)]
    figures = dict(zip(ACCURACIES, (*shares, harmonic_mean(*shares)), strict=True))
    rng = np.random.default_rng(0)
    errors, others = (resampled(rng, len(hits), share) for hits, share in zip((located, accepted), shares, strict=True))
    drawn = (errors, others, harmonic_means(errors, others))
    intervals = {name: tuple(map(float, np.quantile(each, ENDS))) for name, each in zip(ACCURACIES, drawn, strict=True)}
    return {"erroneous": len(located), "correct": len(accepted), **figures, "intervals": intervals}


def resampled(rng: np.random.Generator, count: int, share: float) -> Any:
    """Shares in resamples of `count` outcomes, shape (RESAMPLES,); drawing outcomes with replacement is binomial."""
    return rng.binomial(count, share, RESAMPLES) / max(count, 1)


def best_threshold(values: Sequence[Sequence[float]], labels: Sequence[int]) -> float:
    """The threshold of `first_error` with the highest F1 on these solutions; of equals the lowest.

    Between two neighboring values all thresholds give the same, so it is halfway between them. One at the lowest value
    accepts everything, and one above the highest nothing.

    Args:
        values: the steps' values of each solution, in any range.

    Raises:
        ValueError: the lengths differ, or there are no values.
    """
    known = sorted({value for solution in values for value in solution})
    if not known:
        raise ValueError("a threshold needs solutions with steps")
    between = [(low + high) / 2.0 for low, high in pairwise(known)]
    candidates = np.array([known[0], *between, np.nextafter(known[-1], np.inf)])
    # A solution is judged rightly by a range of thresholds: count, for each candidate, the ranges that it is in.
    hits = {True: np.zeros(len(candidates) + 1), False: np.zeros(len(candidates) + 1)}
    counts = {True: 0, False: 0}
    for solution, label in zip(values, labels, strict=True):
        is_wrong = label != NO_ERROR
        counts[is_wrong] += 1
        before = solution[:label] if is_wrong else solution
        high = min(before, default=np.inf)  # a threshold up to here leaves the steps before the error alone
        low = solution[label] if is_wrong else -np.inf  # and above this sees the error
        first, last = np.searchsorted(candidates, low, "right"), np.searchsorted(candidates, high, "right")
        if first < last:
            hits[is_wrong][first] += 1
            hits[is_wrong][last] -= 1
    errors, others = (np.cumsum(hits[each])[:-1] / max(counts[each], 1) for each in (True, False))
    return float(candidates[int(np.argmax(harmonic_means(errors, others)))])


def harmonic_means(first: Any, second: Any) -> Any:
    """`harmonic_mean` of two arrays, element by element."""
    total = first + second
    return 2.0 * first * second / np.where(total > 0.0, total, 1.0)


def harmonic_mean(first: float, second: float) -> float:
    """2ab / (a + b); 0 if both are 0."""
    return 2.0 * first * second / (first + second) if first + second > 0.0 else 0.0
