"""How well the first error of solutions is found (ProcessBench, Zheng et al. 2024, arXiv 2412.06559, section 3.1).

A solution's label is the index of its first wrong step, from 0, or NO_ERROR. A prediction is right if it is the label
exactly. The score is the harmonic mean (F1) of the accuracy on the solutions with an error and that on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from treestar.statistics import ENDS

__all__ = [
    "NO_ERROR",
    "FirstErrorResult",
    "best_threshold",
    "first_error",
    "first_error_intervals",
    "first_error_result",
    "harmonic_mean",
]

NO_ERROR = -1
"""The label of a solution whose steps are all right."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class FirstErrorResult:
    """The outcome on a set of solutions."""

    erroneous: int
    """Solutions with an error."""
    located: int
    """Those of them whose first error was found exactly."""
    correct: int
    """Solutions without an error."""
    accepted: int
    """Those of them in which no error was seen."""

    @property
    def error_accuracy(self) -> float:
        """`located` / `erroneous`, in [0, 1]; 0 without such solutions."""
        return self.located / self.erroneous if self.erroneous else 0.0

    @property
    def correct_accuracy(self) -> float:
        """`accepted` / `correct`, in [0, 1]; 0 without such solutions."""
        return self.accepted / self.correct if self.correct else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both accuracies, in [0, 1]."""
        return harmonic_mean(self.error_accuracy, self.correct_accuracy)

    def to_json(self) -> dict[str, Any]:
        return {
            "erroneous": self.erroneous,
            "correct": self.correct,
            "error_accuracy": self.error_accuracy,
            "correct_accuracy": self.correct_accuracy,
            "f1": self.f1,
        }


def first_error(values: Sequence[float], threshold: float) -> int:
    """The index of the first step whose value is below `threshold`; NO_ERROR if there is none."""
    return next((index for index, value in enumerate(values) if value < threshold), NO_ERROR)


def first_error_result(predicted: Sequence[int], labels: Sequence[int]) -> FirstErrorResult:
    """The outcome of predictions, one for each label.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(predicted, labels, strict=True))
    errors = [one == label for one, label in pairs if label != NO_ERROR]
    others = [one == label for one, label in pairs if label == NO_ERROR]
    return FirstErrorResult(len(errors), sum(errors), len(others), sum(others))


def first_error_intervals(
    predicted: Sequence[int], labels: Sequence[int], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals of `error_accuracy`, `correct_accuracy` and `f1`; whole solutions are resampled,
    those with an error and those without one apart, because the set fixes how many there are of each.

    Raises:
        ValueError: the lengths differ.
    """
    found = first_error_result(predicted, labels)
    rng = np.random.default_rng(seed)
    errors = resampled(rng, found.erroneous, found.error_accuracy)
    others = resampled(rng, found.correct, found.correct_accuracy)
    means = harmonic_means(errors, others)
    ends = {
        name: np.quantile(values, ENDS)
        for name, values in (("error_accuracy", errors), ("correct_accuracy", others), ("f1", means))
    }
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


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
