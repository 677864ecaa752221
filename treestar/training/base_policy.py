"""The policy that a training starts from, and the folder of the policy that it becomes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treestar.policy.formats import FormatName, StepFormat, step_format_for
from treestar.policy.load import CALIBRATIONS_KEY
from treestar.policy.models import (
    load_causal_model,
    load_config,
    load_generation_config,
    load_tokenizer,
    loading,
    policy_path,
)
from treestar.policy.models.adapter import is_adapter, merged
from treestar.policy.models.loading import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from treestar.storage.files import read_json, write_json
from treestar.types import TreestarError

__all__ = ["Base", "keep_adapter", "load_base", "load_model", "lora_config", "write_policy"]

RANDOM_BASE = "pissa_niter"
"""peft takes what these adapters begin with out of the base, by a singular value decomposition with random numbers."""


@dataclass(frozen=True, slots=True)
class Base:
    """The model to fine-tune."""

    name: str
    path: str
    config: Any
    """As in its folder; training changes the config of the loaded model."""
    tokenizer: Any
    step_format: StepFormat
    entries: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of the config.json of the policy that it becomes."""


def load_base(name: str, step_format: FormatName | None) -> Base:
    """The policy `name`, which will learn to write in `step_format`, by default its own.

    Raises:
        TreestarError: it cannot be loaded.
    """
    path = policy_path(name)
    with loading("policy", name):
        model_config = load_config(path)
        tokenizer = load_tokenizer(path)
    if not tokenizer.is_fast:
        raise TreestarError(f"policy {name!r} cannot be fine-tuned: it has no fast (Rust) tokenizer")
    return Base(name, path, model_config, tokenizer, step_format_for(model_config, tokenizer, step_format))


def load_model(base: Base, arguments: dict[str, Any]) -> Any:
    """The weights to train, in float32 unless `model_init_kwargs` in a trainer's `arguments` say otherwise; takes these
    out of `arguments`.

    Raises:
        TreestarError: they cannot be read.
    """
    import torch

    settings = arguments.pop("model_init_kwargs", None) or {}
    with loading("policy", base.name):
        return load_causal_model(base.path, **{"dtype": torch.float32, **settings})


def lora_config(fields: Mapping[str, Any] | None) -> Any:
    """`peft.LoraConfig` with these fields, or None.

    Raises:
        ValueError: the adapter would change the base by random numbers that are not stored with it.
    """
    if fields is None:
        return None
    if str(fields.get("init_lora_weights")).startswith(RANDOM_BASE):
        raise ValueError(
            f"init_lora_weights must not be {fields['init_lora_weights']}, which takes a random part out of the base's "
            "weights, so the adapter would not fit the base later: use pissa, which always takes the same"
        )
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", **fields})


def write_policy(base: Base, folder: Path) -> None:
    """Convert the trainer's output in `folder` to a checkpoint that differs from the base's only in its weights, with
    the step format in its config and without its calibrations. What was trained with LoRA is also kept by itself, in
    the folder's `adapter`."""
    import torch
    from transformers import GenerationConfig

    trained = folder.with_name("trained")
    shutil.rmtree(trained, ignore_errors=True)  # left by a run that was killed here
    folder.rename(trained)
    config = load_config(base.path)
    vars(config).pop(CALIBRATIONS_KEY, None)  # another policy's confidence means something else
    config.treestar_format = base.step_format.name
    for name, value in base.entries.items():
        setattr(config, name, value)
    dtype = config.dtype or torch.float32
    if is_adapter(str(trained)):
        whole = load_causal_model(base.path, config=config, dtype=torch.float32)
        model = merged(whole, str(trained)).to(dtype)
    else:
        model = load_causal_model(str(trained), config=config, dtype=dtype)
    # Where the base has none, transformers derives one from the config.
    model.generation_config = load_generation_config(base.path) or GenerationConfig.from_model_config(config)
    model.save_pretrained(folder)
    load_tokenizer(base.path).save_pretrained(folder)
    if is_adapter(str(trained)):
        keep_adapter(base.name, config, trained, folder / "adapter")
    shutil.rmtree(trained)


def keep_adapter(base: str, config: Any, trained: Path, folder: Path) -> None:
    """Copy the adapter in the folder `trained`, with the model's config, and name its base as the user named it."""
    folder.mkdir()
    shutil.copy(trained / ADAPTER_WEIGHTS, folder)
    settings = read_json(trained / ADAPTER_CONFIG)
    write_json(folder / ADAPTER_CONFIG, {**settings, "base_model_name_or_path": base})
    config.save_pretrained(folder)
