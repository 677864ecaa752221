"""The progress of reinforcement learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["GRPOProgress"]


@dataclass(frozen=True, slots=True)
class GRPOProgress:
    """What was logged at one step."""

    step: int
    steps: int
    """Steps of the whole run."""
    figures: Mapping[str, float]
    """By name, as TensorBoard shows them; those of an evaluation begin with `eval_`."""
    log: Sequence[Mapping[str, Any]]
    """All figures so far, each with its `step`."""
