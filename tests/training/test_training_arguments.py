"""Further fields of the trainers' own arguments: those that cannot work are refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.sft_rows import sum_row
from support.tiny_model import save_tiny_model

from treestar.training.grpo.config import GRPOConfig
from treestar.training.ppm.config import check_training_arguments
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.train import train_policy
from treestar.types import TreestarError

KINDS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "sft": lambda arguments: SFTTrainingConfig(training_arguments=arguments),
    "grpo": lambda arguments: GRPOConfig(training_arguments=arguments),
    "ppm": lambda arguments: check_training_arguments(arguments, "training_arguments"),
}


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
