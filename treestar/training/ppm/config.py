"""All settings of a PPM's training, as a dataclass that validates itself. The command-line options come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treestar.config.checks import check_choice, check_left_out, check_number, check_whole
from treestar.training.ppm.objectives import Objective
from treestar.training.run import FineTuningConfig, check_arguments

__all__ = ["PPMTrainingConfig", "check_training_arguments"]

WITHOUT_EFFECT = {
    "per_device_train_batch_size": "batch_tokens says how much is in a forward pass",
    "train_sampling_strategy": "batches have pairs of similar length already",
    "label_smoothing_factor": "pairs have no labels",
    "dataloader_persistent_workers": "such workers do not notice a new epoch, in which names move",
}
"""Fields of `transformers.TrainingArguments` that do not apply to this training, and the reasons."""


@dataclass(frozen=True, kw_only=True)
class PPMTrainingConfig(FineTuningConfig):
    """How a PPM is trained."""

    objective: Objective = "pairs"
    """`pairs`: the paper's (equation 4). For comparison, `orm`: outcomes of whole trajectories; `q_regression`: Q of
    every node."""
    minimum_margin: float = 0.0
    """Use only pairs whose Q differs by at least this much; the released rStar-Math code uses 0.5."""
    centering: float = 0.1
    """For `pairs`: weight of the square of the sum of a pair's two scores before tanh. It prevents both from reaching
    the same end of [-1, 1], where tanh has almost no gradient to separate them. 0 is only equation 4."""
    held_out: float = 0.1
    """Share of the problems whose pairs are held out to measure accuracy; the seed selects them."""
    epochs: float = 4.0
    """Passes over the training problems."""
    batch_tokens: int = 2048
    """Maximum number of tokens in a forward pass, including padding; limits the memory."""
    bf16: bool = False
    """Compute in bfloat16, and store the PPM in it; the weights are updated in float32."""
    lora: Mapping[str, Any] | None = None
    """Fields of `peft.LoraConfig`: train only the head and low-rank adapters, which are merged into the stored weights
    and also kept by themselves, in the folder's `adapter`."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_choice(self, "objective")
        check_number(self, "minimum_margin", at_least=0, below=2)
        check_number(self, "centering", at_least=0)
        check_number(self, "held_out", at_least=0, below=1)
        check_whole(self, "batch_tokens")
        if self.objective != "pairs":
            check_left_out(self, "the objective is pairs", "centering")


def check_training_arguments(arguments: Mapping[str, Any], name: str) -> None:
    """Raise ValueError if `arguments`, fields of `transformers.TrainingArguments`, have one that does not apply.

    Args:
        name: how they are called in the error.
    """
    check_arguments(arguments, WITHOUT_EFFECT, name)
