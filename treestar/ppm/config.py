"""Every tunable of a PPM's training, as a dataclass that checks itself. The command line's options are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import get_args

from treestar.ppm.objectives import Objective

__all__ = ["PPMTrainingConfig"]


@dataclass(frozen=True, kw_only=True)
class PPMTrainingConfig:
    """How a PPM is trained. The defaults suit models from millions to billions of parameters."""

    objective: Objective = "pairs"
    """`pairs`: the paper's. For comparison, `orm`: outcomes of whole trajectories; `q_regression`: Q of every node."""
    minimum_margin: float = 0.0
    """Only pairs whose Q differ by at least this; the released rStar-Math code takes 0.5."""
    held_out: float = 0.1
    """Share of the problems whose pairs measure accuracy and are not trained on."""
    epochs: float = 4.0
    """Passes over the training problems."""
    learning_rate: float | None = None
    """Highest rate of AdamW, which then falls to 0. By default 1.5 / width^1.5: 4e-4 for the embedded model, 7e-6
    for a width of 3,584 (7 billion parameters)."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises from 0."""
    batch_tokens: int = 2048
    """Most tokens of a forward pass, padding included; bounds the memory."""
    accumulation: int = 1
    """Forward passes a step."""
    seed: int = 0
    """Of the held-out problems and of the order of the batches."""
    bf16: bool = False
    """Compute in bfloat16, and store the PPM in it; the weights are updated in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice rather than keep them: less memory, a third more time."""
    save_steps: int | None = None
    """Write a checkpoint to resume from every so many steps; by default after every epoch."""
    report_to: str = "none"
    """Also log to `tensorboard`, `wandb` or another logger of transformers, with commas between several."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        rate, every = self.learning_rate, self.save_steps
        self.check("objective", self.objective in get_args(Objective), f"one of {', '.join(get_args(Objective))}")
        self.check("minimum_margin", 0 <= self.minimum_margin < 2, "at least 0 and below 2")
        self.check("held_out", 0 <= self.held_out < 1, "at least 0 and below 1")
        self.check("epochs", isfinite(self.epochs) and self.epochs > 0, "a finite number above 0")
        self.check("learning_rate", rate is None or (isfinite(rate) and rate > 0), "a finite number above 0")
        self.check("warmup", 0 <= self.warmup < 1, "at least 0 and below 1")
        self.check("batch_tokens", self.batch_tokens >= 1, "a whole number, 1 or more")
        self.check("accumulation", self.accumulation >= 1, "a whole number, 1 or more")
        self.check("save_steps", every is None or every >= 1, "a whole number, 1 or more")

    def check(self, name: str, is_allowed: bool, allowed: str) -> None:
        if not is_allowed:
            raise ValueError(f"PPMTrainingConfig.{name} must be {allowed}, not {getattr(self, name)!r}")
