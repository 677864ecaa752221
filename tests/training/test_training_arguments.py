"""Further fields of the trainers' own arguments: those that cannot work are refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.grpo_rollouts import sums
from support.sft_rows import sum_row
from support.tiny_model import save_tiny_model

from treestar.training.accepted import check_accepted
from treestar.training.base_policy import lora_config
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.train import train_grpo
from treestar.training.ppm.config import check_training_arguments
from treestar.training.run import optimizer_of
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.train import train_policy
from treestar.types import TreestarError

KINDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "sft": lambda arguments: SFTTrainingConfig(training_arguments=arguments),
    "grpo": lambda arguments: GRPOConfig(training_arguments=arguments),
    "ppm": lambda arguments: check_training_arguments(arguments, "training_arguments"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("field", ["output_dir", "resume_from_checkpoint"])
def test_where_a_training_is_kept_is_not_for_the_trainers_arguments(kind: str, field: str) -> None:
    """Checkpoints would go to a folder in which no resumed run looks for them."""
    with pytest.raises(ValueError, match=f"training_arguments must not have {field}: a training"):
        KINDS[kind]({field: "elsewhere"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_length", 64), ("packing", True), ("chat_template_path", "x"), ("eos_token", "x"), ("eval_on_start", True)],
)
def test_what_cannot_apply_to_rows_of_tokens_is_refused(field: str, value: object) -> None:
    """TRL would cut rows that are counted as whole, or pack them behind the back of what else needs to know."""
    for config in (SFTTrainingConfig, StepERTrainingConfig):
        with pytest.raises(ValueError, match=f"{config.__name__}.training_arguments must not have {field}: "):
            config(training_arguments={field: value})


@pytest.mark.parametrize("kind", ["sft", "ppm"])
def test_workers_that_outlive_an_epoch_are_refused(kind: str) -> None:
    """The distances of names are drawn by the epoch that a worker saw when it was started."""
    with pytest.raises(ValueError, match="must not have dataloader_persistent_workers: such workers do not notice"):
        KINDS[kind]({"dataloader_persistent_workers": True})


def test_every_step_of_a_reinforcement_is_logged() -> None:
    """With a mean over ten steps, the curve would count a tenth of the tokens."""
    with pytest.raises(ValueError, match="must not have logging_steps: every step is logged"):
        KINDS["grpo"]({"logging_steps": 10})


def test_rows_of_several_kinds_are_not_joined() -> None:
    with pytest.raises(ValueError, match="must not have padding_free: each row belongs to one kind of step"):
        StepERTrainingConfig(training_arguments={"padding_free": True})


def test_an_adapter_that_would_not_fit_its_base_again_is_refused() -> None:
    """Merged into the base, it gave a policy that writes nothing but nonsense."""
    for trainer in ("sft", "grpo", "ppm"):
        with pytest.raises(TreestarError, match=r"init_lora_weights must not be pissa_niter_4, .*: use pissa"):
            check_accepted(trainer, "training_arguments", {}, {"init_lora_weights": "pissa_niter_4"})
    assert lora_config({"init_lora_weights": "pissa"}).init_lora_weights == "pissa"


@pytest.mark.parametrize(("arguments", "environment"), [({"fsdp": True}, "false"), ({}, "true")])
def test_what_needs_whole_weights_is_refused_where_a_model_is_in_shards(
    arguments: Mapping[str, Any], environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer's arguments ask for it, or accelerate's configuration."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", environment)
    config = GRPOConfig(training_arguments=arguments)
    with pytest.raises(TreestarError, match="in shards"):
        train_grpo(sums(1), "toy-bootstrap", tmp_path, config)
    with pytest.raises(ValueError, match="muon does not work with FSDP"):
        optimizer_of(SFTTrainingConfig(optimizer="muon"), arguments)
    assert optimizer_of(SFTTrainingConfig(), arguments) is None


@pytest.mark.parametrize("arguments", [{"optim": "adamw_8bit"}, {"use_liger_kernel": True}])
def test_a_package_that_an_argument_needs_is_named(
    arguments: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are imported only when the training begins."""
    import transformers.integrations.liger
    import transformers.trainer_optimizer

    monkeypatch.setattr(transformers.trainer_optimizer, "is_bitsandbytes_available", lambda: False)
    monkeypatch.setattr(transformers.integrations.liger, "is_liger_kernel_available", lambda: False)
    base = str(save_tiny_model(tmp_path / "base", treestar_format="rstar"))
    config = SFTTrainingConfig(training_arguments=arguments)
    with pytest.raises(TreestarError, match=r"the trainer cannot be set up: You .*(bitsandbytes|liger)"):
        train_policy([sum_row(1)], base, tmp_path / "out", config)
