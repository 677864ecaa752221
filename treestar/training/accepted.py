"""Whether the libraries that train will accept a training's further settings.

This is checked before a job begins. Otherwise a misspelled setting would be noticed when the training starts, which may
be hours later, in a job whose settings can no longer change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any, Literal

from treestar.training.base_policy import lora_config
from treestar.training.run import check_package, making_trainer
from treestar.types import TreestarError

__all__ = ["check_accepted"]

Trainer = Literal["sft", "grpo", "ppm"]

ARGUMENTS: Mapping[Trainer, tuple[str, str]] = {
    "sft": ("trl", "SFTConfig"),
    "grpo": ("trl", "GRPOConfig"),
    "ppm": ("transformers", "TrainingArguments"),
}
"""The package and the class that the training arguments are fields of."""


def check_accepted(trainer: Trainer, place: str, arguments: Mapping[str, Any], lora: Mapping[str, Any] | None) -> None:
    """Check that the training arguments are fields of their class, and the LoRA settings those of peft.

    Args:
        place: where the training arguments are, for errors.

    Raises:
        TreestarError: there is no such field, or a package is missing.
    """
    if arguments:
        package, name = ARGUMENTS[trainer]
        check_package(package)
        known = {each.name for each in fields(getattr(import_module(package), name)) if each.init}
        unknown = ", ".join(each for each in arguments if each not in known)
        if unknown:
            raise TreestarError(f"{place} must not have {unknown}: {package}.{name} has no such field")
    with making_trainer():
        lora_config(lora)
