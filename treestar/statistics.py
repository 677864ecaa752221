"""Uncertainty of a mean over problems and of the difference between two runs, and calibration of confidences.

Resampling is over problems: average the samples and seeds of each problem before calling these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENDS",
    "NORMAL",
    "RESAMPLES",
    "McNemar",
    "Values",
    "binomial_interval",
    "bootstrap_intervals",
    "expected_calibration_error",
    "mcnemar",
    "paired_difference",
    "share_interval",
    "standard_error",
]

RESAMPLES = 10_000
CHUNK, CHUNK_DRAWS = 500, 25_000_000
"""Resamples held in memory at the same time, and the draws that these may have together."""

NORMAL = 1.96
"""Standard errors on each side of a 95% interval."""
ENDS = ((1.0 - 0.95) / 2.0, 1.0 - (1.0 - 0.95) / 2.0)
"""The quantiles at which a 95% interval ends."""

Values = NDArray[np.float64]


def standard_error(values: Sequence[float] | Values) -> float:
    """The standard error of the mean, 0 for a single value."""
    array = np.asarray(values, dtype=float)
    return float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else 0.0


def binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """The ends of Wilson's 95% score interval for a probability, from a count of successes (Wilson 1927).

    Unlike the normal interval it stays within [0, 1] and is not empty at 0 and at 1. Without trials it is (0, 1).

    Raises:
        ValueError: the counts are negative, or there are more successes than trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a count of successes")
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, NORMAL * NORMAL / trials
    center = (rate + spread / 2) / (1 + spread)
    margin = sqrt(spread * (rate * (1 - rate) + spread / 4)) / (1 + spread)
    # At 0 and 1 the ends are exact; arithmetic would leave them a rounding error away.
    low = 0.0 if successes == 0 else max(0.0, center - margin)
    return low, 1.0 if successes == trials else min(1.0, center + margin)


def bootstrap_intervals(values: Values, seed: int = 0) -> Values:
    """95% percentile bootstrap intervals of the means of several metrics over the same problems (Efron 1979).

    Args:
        values: shape (problems, metrics); each resample draws whole rows.
        seed: random seed of the resampling.

    Returns:
        Shape (metrics, 2): lower and upper ends.

    Raises:
        ValueError: `values` is empty.
    """
    values = np.asarray(values, dtype=float)
    problems = len(values)
    if problems == 0:
        raise ValueError("cannot resample: the list of problems is empty")
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    chunk = max(1, min(CHUNK, CHUNK_DRAWS // problems))
    for start in range(0, RESAMPLES, chunk):
        size = min(chunk, RESAMPLES - start)
        draws = rng.integers(problems, size=(size, problems)) + problems * np.arange(size)[:, None]
        counts = np.bincount(draws.ravel(), minlength=size * problems).reshape(size, problems)
        means[start : start + size] = counts @ values / problems
    ends: Values = np.quantile(means, ENDS, axis=0).T
    return ends


def share_interval(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the 95% interval of the mean of `values`, each in [0, 1]: by the bootstrap, or Wilson's where all are
    0 or all are 1, because every resample is the same then.

    Raises:
        ValueError: `values` is empty.
    """
    total = sum(values)
    if values and total in (0, len(values)):
        return binomial_interval(int(total), len(values))
    [[low, high]] = bootstrap_intervals(np.array(values)[:, None])
    return float(low), float(high)


def paired_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> dict[str, Any]:
    """The mean of first - second over the same problems, with its 95% bootstrap interval.

    Raises:
        ValueError: the lengths differ, or both are empty.
    """
    differences = np.array([one - other for one, other in zip(first, second, strict=True)], dtype=float)
    [[low, high]] = bootstrap_intervals(differences[:, None], seed)
    return {"difference": float(differences.mean()), "interval": [float(low), float(high)]}


class McNemar(NamedTuple):
    """An exact McNemar test of two runs on the same problems."""

    only_first: int
    """Number of problems that only the first run got right."""
    only_second: int
    p_value: float
    """Two-sided."""


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Whether two runs differ in accuracy, from the problems that only one of them got right (McNemar 1947).

    Exact: under the null hypothesis each of these problems is equally likely to favor either run, so the count is
    binomial with probability 1/2.

    Raises:
        ValueError: the lengths differ.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(bool(one) and not other for one, other in pairs)
    only_second = sum(bool(other) and not one for one, other in pairs)
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(total, i) for i in range(fewer + 1))
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**total))


def expected_calibration_error(confidences: Sequence[float] | Values, right: Sequence[bool] | Values) -> float:
    """Mean gap between accuracy and confidence over ten bins of equal width, weighted by bin size (Guo et al. 2017, eq.
    3). In [0, 1]; 0 is best. A confidence on a bin edge belongs to the bin below it."""
    sure, outcome = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    places = np.clip(np.ceil(sure * 10).astype(int) - 1, 0, 9)
    gaps = np.bincount(places, weights=outcome - sure)
    return float(np.abs(gaps).sum() / len(sure))
