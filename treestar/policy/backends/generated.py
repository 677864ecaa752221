"""Continuations as backends give them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treestar.types import TokenLogProbability

__all__ = ["Generated", "Generation"]


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation."""

    text: str
    """Up to and including the stop string, or up to the end-of-sequence token, which is left out."""
    ended: bool
    """The model generated its end-of-sequence token."""
    tokens: int
    """New tokens, an end-of-sequence token included."""
    log_probability: float
    """Natural log of their probability at temperature 1, summed; <= 0."""
    token_ids: tuple[int, ...] = ()
    """The tokens of `text`."""
    confidences: tuple[float, ...] = ()
    """The confidence of each new token, if that was asked for (`Sampling.confidence_top`)."""
    end_token: int | None = None
    """The end-of-sequence token, if the model generated one."""
    token_log_probabilities: tuple[TokenLogProbability, ...] = ()
    """Of each new token, if that was asked for (`Sampling.token_log_probabilities`)."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The continuations of one prompt."""

    continuations: Sequence[Generated]
    tokens: int
    """New tokens computed for all of them together."""
