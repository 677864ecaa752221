"""Every setting of a PPM's training, as a dataclass that checks itself. The command line's options are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import get_args

from treestar.training.ppm.objectives import Objective
from treestar.training.run import FineTuningConfig

__all__ = ["PPMTrainingConfig"]


@dataclass(frozen=True, kw_only=True)
class PPMTrainingConfig(FineTuningConfig):
    """How a PPM is trained."""

    objective: Objective = "pairs"
    """`pairs`: the paper's (equation 4). For comparison, `orm`: outcomes of whole trajectories; `q_regression`: Q of
    every node."""
    minimum_margin: float = 0.0
    """Use only pairs whose Q differs by at least this much; the released rStar-Math code uses 0.5."""
    centering: float = 0.1
    """For `pairs`: weight of the square of the sum of a pair's two scores before tanh. It keeps both from ending up at
    the same end of [-1, 1], where tanh has no gradient left to separate them. 0 is equation 4 alone."""
    held_out: float = 0.1
    """Share of the problems whose pairs are used to measure accuracy and not to train; the seed decides which."""
    epochs: float = 4.0
    """Passes over the training problems."""
    batch_tokens: int = 2048
    """The most tokens in a forward pass, padding included; limits the memory."""
    bf16: bool = False
    """Compute in bfloat16, and store the PPM in it; the weights are updated in float32."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        super().__post_init__()
        self.check("objective", self.objective in get_args(Objective), f"one of {', '.join(get_args(Objective))}")
        self.check("minimum_margin", 0 <= self.minimum_margin < 2, "at least 0 and below 2")
        self.check("centering", isfinite(self.centering) and self.centering >= 0, "a finite number, 0 or more")
        self.check("held_out", 0 <= self.held_out < 1, "at least 0 and below 1")
        self.check("batch_tokens", self.batch_tokens >= 1, "a whole number, 1 or more")
