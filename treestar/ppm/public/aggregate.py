"""From the scores of a state's steps to the one value that search uses.

Every convention gives a probability in [0, 1] for each step: the model's own probability that the step is right, or, if
the model gives an unbounded reward r, (1 + tanh(r / scale)) / 2 with the convention's scale. The steps' probabilities
are combined, and the combined p becomes the value 2p - 1 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, tanh
from statistics import fmean
from typing import Literal, get_args

__all__ = ["AGGREGATES", "Aggregate", "aggregated", "probability_of_reward"]

Aggregate = Literal["last", "min", "product", "mean", "sum"]

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)

COMBINE: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "last": lambda probabilities: probabilities[-1],
    "min": min,
    "product": prod,
    "mean": fmean,
}
"""The aggregates that give a probability again."""


def aggregated(probabilities: Sequence[float], aggregate: Aggregate) -> float:
    """The value in [-1, 1] of a state whose steps have `probabilities`; 0 without steps.

    `sum` adds 2p - 1 of every step, so good steps raise it and bad ones lower it, without bound; it is mapped by
    tanh(sum / 2). The others are 2p - 1 of the combined probability.
    """
    if not probabilities:
        return 0.0
    if aggregate == "sum":
        return tanh(sum([2.0 * each - 1.0 for each in probabilities]) / 2.0)
    return 2.0 * COMBINE[aggregate](probabilities) - 1.0


def probability_of_reward(reward: float, scale: float) -> float:
    """(1 + tanh(reward / scale)) / 2, in [0, 1]: 0.5 at 0, rising with the reward."""
    return (1.0 + tanh(reward / scale)) / 2.0
