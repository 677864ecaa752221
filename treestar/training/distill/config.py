"""All settings of a stepwise distillation, as dataclasses that validate themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from treestar.config.checks import check_choice, check_left_out, check_number, invalid
from treestar.training.run import check_arguments
from treestar.training.sft.config import SFTTrainingConfig

__all__ = ["STEP_KINDS", "StepERTrainingConfig", "StepKind", "Weighting"]

StepKind = Literal["first", "mid", "final"]
"""A step's place in the reasoning: initialization, expansion, aggregation."""
STEP_KINDS: tuple[StepKind, ...] = get_args(StepKind)

Weighting = Literal["difficulty_aware", "uniform", "fixed"]

OF_OTHER_LOSSES = {
    "loss_type": "the loss is StepER's",
    "label_smoothing_factor": "the loss is StepER's",
    "padding_free": "each row belongs to one kind of step",
}
"""Fields of `trl.SFTConfig` that do not suit this training's loss, and the reasons."""


@dataclass(frozen=True, kw_only=True)
class StepERTrainingConfig(SFTTrainingConfig):
    """How a student is trained on a teacher's steps. The loss of a kind of step is the mean over its tokens, in all
    rows of all processes and forward passes of an optimizer step."""

    steps: str = "first,mid,final"
    """The kinds of steps to train on, separated by commas. `final` alone is vanilla knowledge distillation."""
    weighting: Weighting = "difficulty_aware"
    """How the losses of the three kinds are added up: with learned sigmas, equally, or with the `weights`."""
    weights: str = "1,1,1"
    """With the weighting `fixed`: the weights of first, mid and final steps, separated by commas."""
    sigma_learning_rate: float = 0.01
    """Learning rate of the logarithms of sigma squared, which Adam trains. The model's would be too small to move
    them."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_choice(self, "weighting")
        check_number(self, "sigma_learning_rate", above=0)
        kinds = self.steps.split(",")
        if len(set(kinds)) < len(kinds) or not set(kinds) <= set(STEP_KINDS):
            raise invalid(self, "steps", "first, mid, final, or some of these separated by commas")
        if self.weighting != "fixed":
            check_left_out(self, "the weighting is fixed", "weights")
        if self.weighting != "difficulty_aware":
            check_left_out(self, "the weighting is difficulty_aware", "sigma_learning_rate")
        check_arguments(self.training_arguments, OF_OTHER_LOSSES, "StepERTrainingConfig.training_arguments")
        if self.packing:
            raise invalid(self, "packing", "false, because each row belongs to one kind of step,")
        try:
            weights = self.task_weights
        except ValueError:
            weights = ()
        are_weights = len(weights) == len(STEP_KINDS) and all(0.0 <= weight < inf for weight in weights)
        if not are_weights or max(weights) == 0:
            raise invalid(self, "weights", "three finite numbers, 0 or more, separated by commas")

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of steps to train on, in the order of the reasoning."""
        return tuple(kind for kind in STEP_KINDS if kind in self.steps.split(","))

    @property
    def task_weights(self) -> tuple[float, ...]:
        """The fixed weights; equal ones for the weighting `uniform`."""
        given = self.weights if self.weighting == "fixed" else "1,1,1"
        return tuple(float(each) for each in given.split(","))
