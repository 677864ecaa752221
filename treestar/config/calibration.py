"""What a policy's confidence means: from an answer's share of what a search found to the chance that it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

__all__ = ["Calibration", "fitted_calibration"]

SMALLEST_SHARE = 0.02
"""Shares closer to 0 and 1 count as this far from them: a search that finds only one answer can be wrong."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The log-odds of being right are linear in those of the share (Platt 1999)."""

    slope: float
    intercept: float

    def __call__(self, share: float) -> float:
        """The chance in (0, 1) that an answer with this share in [0, 1] is right."""
        return 1 / (1 + exp(-self.intercept - self.slope * log_odds(share)))


def log_odds(share: float) -> float:
    bounded = min(max(share, SMALLEST_SHARE), 1 - SMALLEST_SHARE)
    return log(bounded / (1 - bounded))


def fitted_calibration(shares: Sequence[float], right: Sequence[bool], steps: int = 50) -> Calibration:
    """The calibration that makes the outcomes most probable: logistic regression by Newton's method, with a weak pull
    towards the share itself (slope 1, intercept 0), so that few problems or only right answers give a sensible one.

    Args:
        shares: each answer's share of its search's weight, in [0, 1].
        right: whether it was right, in the same order.
    """
    import numpy as np

    odds = np.array([log_odds(share) for share in shares])
    features, outcome = np.stack([odds, np.ones_like(odds)], axis=1), np.asarray(right, dtype=float)
    start = np.array([1.0, 0.0])
    weights = start.copy()
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (outcome - chance) - (weights - start)
        curvature = features.T @ (features * (chance * (1 - chance))[:, None]) + np.eye(2)
        weights = weights + np.linalg.solve(curvature, gradient)
    return Calibration(slope=float(weights[0]), intercept=float(weights[1]))
