"""All settings of a policy's fine-tuning, as a dataclass that validates itself. Command-line options come from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from treestar.config.checks import check_whole
from treestar.policy.formats import FormatName
from treestar.training.run import FineTuningConfig, check_arguments

__all__ = ["SFTTrainingConfig"]

WITHOUT_EFFECT = {
    "max_length": "set max_length of the training, which leaves out longer rows instead of cutting them",
    "packing": "set packing of the training",
    "chat_template_path": "the policy keeps the tokenizer and the template of its base",
    "eos_token": "the policy keeps the tokenizer of its base",
    "eval_on_start": "no rows are held out",
    "dataloader_persistent_workers": "such workers do not notice a new epoch, in which names move",
}
"""Fields of `trl.SFTConfig` that do not apply to rows of tokens, and the reasons."""


@dataclass(frozen=True, kw_only=True)
class SFTTrainingConfig(FineTuningConfig):
    """How a policy is fine-tuned. A step's loss is the mean over the tokens that the policy writes, in all rows of all
    processes and forward passes of that step."""

    batch_size: int = 16
    """Rows (with packing, packs) in a forward pass of each process."""
    max_length: int = 4096
    """Maximum number of tokens per trajectory; longer ones, and those that exceed the model's context, are left out."""
    packing: bool = False
    """Put several trajectories into one row of `max_length` tokens, each seeing only itself. Useful with
    FlashAttention, which is set in `training_arguments` as `model_init_kwargs: {attn_implementation: ...}`."""
    move_names: bool = True
    """If the step format has interchangeable names, shift those of a row at random each time it is used."""
    step_format: FormatName | None = None
    """The step format that the policy learns; by default the base's."""
    lora: Mapping[str, Any] | None = None
    """Fields of `peft.LoraConfig`: train only low-rank adapters, which are merged into the stored weights."""
    training_arguments: Mapping[str, Any] = field(default_factory=dict)
    """More fields of `trl.SFTConfig`, such as `fsdp` or `optim`; they override those above."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_whole(self, "batch_size")
        check_whole(self, "max_length", at_least=2)
        check_arguments(self.training_arguments, WITHOUT_EFFECT, f"{type(self).__name__}.training_arguments")
