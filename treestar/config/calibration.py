"""What a policy's confidence means: from an answer's share of what a search found to the chance that it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Calibration", "fitted_calibration"]

SMALLEST_SHARE = 0.02
"""Shares closer to 0 and 1 count as this far from them: a search that finds only one answer can be wrong."""

SMALLEST_STEP = 1e-12
"""Newton's method has converged where not even so small a step improves the fit."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The log-odds of being right are linear in those of the share (Platt 1999)."""

    slope: float
    intercept: float
    scorer: str | None = None
    """The name of the scorer that guided the searches on which it was fitted, `none` if they had none. It says nothing
    of other searches. If unset, it is used for all."""

    def __call__(self, share: float) -> float:
        """The chance in (0, 1) that an answer with this share in [0, 1] is right."""
        odds = self.intercept + self.slope * log_odds(share)
        return 1 / (1 + exp(-odds)) if odds > 0 else exp(odds) / (1 + exp(odds))


def log_odds(share: float) -> float:
    bounded = min(max(share, SMALLEST_SHARE), 1 - SMALLEST_SHARE)
    return log(bounded / (1 - bounded))


def fitted_calibration(shares: Sequence[float], right: Sequence[bool], steps: int = 50) -> Calibration:
    """The calibration that makes the outcomes most probable: logistic regression by Newton's method, with a weak pull
    toward the share itself (slope 1, intercept 0), so that few problems or only right answers give a sensible one.

    Args:
        shares: each answer's share of its search's weight, in [0, 1].
        right: whether it was right, in the same order.
    """
    import numpy as np

    odds = np.array([log_odds(share) for share in shares])
    features, outcome = np.stack([odds, np.ones_like(odds)], axis=1), np.asarray(right, dtype=float)
    start = np.array([1.0, 0.0])
    weights = start.copy()

    def loss(weights: NDArray[np.float64]) -> float:
        logits = features @ weights
        return float(np.logaddexp(0.0, logits).sum() - outcome @ logits + ((weights - start) ** 2).sum() / 2)

    for _ in range(steps):
        chance = np.exp(-np.logaddexp(0.0, -features @ weights))
        gradient = features.T @ (outcome - chance) - (weights - start)
        curvature = features.T @ (features * (chance * (1 - chance))[:, None]) + np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Where the chances are near 0 or 1 the curvature is almost 0, and a whole step goes much too far.
        while loss(weights + step) > loss(weights) and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
        weights = weights + step
    return Calibration(slope=float(weights[0]), intercept=float(weights[1]))
