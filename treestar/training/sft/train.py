"""Supervised fine-tuning of a policy on verified trajectories, with TRL's SFTTrainer.

To train on several devices, start the program that calls `train_policy` with `accelerate launch` or `torchrun`: every
process passes the same arguments, and the main process writes the files (docs/guides/train.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.backends.transformers import context_length
from treestar.policy.formats import StepFormat, step_format_for
from treestar.policy.models import (
    load_causal_model,
    load_config,
    load_generation_config,
    load_tokenizer,
    loading,
    policy_path,
)
from treestar.training.run import (
    TrainingProgress,
    check_folder,
    check_package,
    is_main_process,
    making_trainer,
    optimizer_of,
    train,
    trainer_arguments,
)
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import SFTData, SFTRow, prepare
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.training.sft.trainer import PolicyTrainer

__all__ = ["Base", "check_training", "load_base", "longest_row", "train_on", "train_policy"]


@dataclass(frozen=True, slots=True)
class Base:
    """The model to fine-tune."""

    name: str
    path: str
    config: Any
    """As in its folder; training changes the config of the loaded model."""
    tokenizer: Any
    step_format: StepFormat


def train_policy(
    rows: Iterable[SFTRow],
    base: str,
    out: str | Path,
    config: SFTTrainingConfig | None = None,
    *,
    resume: bool = False,
    on_data: Callable[[SFTData], None] = lambda _: None,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune a policy and write it into the folder `out`, with `training.json`.

    The folder is an ordinary Hugging Face checkpoint that `load_policy` loads: in the base's dtype, with its tokenizer
    and generation settings, and the step format in its config.json, which is written last.

    Args:
        base: the policy to fine-tune: a shipped or fetched policy, a model folder, a GGUF file, or a hub id.
        resume: continue from the last checkpoint in `out`, if any.
        on_data: called with the data before training, in the main process.
        on_progress: called after every step, in the main process.

    Returns:
        The content of `training.json`: settings, counts, losses, seconds and tokens.

    Raises:
        TreestarError: a package is missing, the base cannot be loaded, a trajectory is not finished, no row can be
            trained on, `out` contains another run, or training diverged.
    """
    config, out = config or SFTTrainingConfig(), Path(out)
    check_training(out, config, resume)
    model = load_base(base, config)
    data = prepare(rows, model.tokenizer, model.step_format, longest_row(model, config))
    return train_on(data, model, out, config, on_data, on_progress)


def check_training(out: Path, config: SFTTrainingConfig, resume: bool) -> None:
    """Raises TreestarError if a package is missing or `out` contains something that must not be overwritten."""
    check_package("trl")
    if config.lora is not None:
        check_package("peft", install="peft")
    check_folder(out, resume)


def longest_row(base: Base, config: SFTTrainingConfig) -> int:
    """Maximum number of tokens in a row."""
    return min(config.max_length, context_length(base.config, base.tokenizer))


def train_on(
    data: SFTData,
    base: Base,
    out: Path,
    config: SFTTrainingConfig,
    on_data: Callable[[SFTData], None],
    on_progress: Callable[[TrainingProgress], None],
    making: Callable[..., PolicyTrainer] | None = None,
    history: Callable[[PolicyTrainer], dict[str, Any]] = lambda _: {},
) -> dict[str, Any]:
    """Fine-tune `base` on tokens; as `train_policy`, which makes them from trajectories.

    Args:
        making: makes another trainer than a `PolicyTrainer`, from the same arguments.
        history: more entries for the report, from the trainer at the end.
    """
    if is_main_process():
        on_data(data)
    settings = {"base": base.name, **asdict(config)}
    report = {"settings": settings, "fingerprint": data.fingerprint, "data": data.to_json()}

    def finish(trainer: Any, folder: Path) -> dict[str, Any]:
        write_policy(base, folder)
        return history(trainer)

    return train(lambda: make_trainer(base, data, out, config, on_progress, making), out, report, "rows", finish)


def load_base(name: str, config: SFTTrainingConfig) -> Base:
    """Raises TreestarError if it cannot be loaded."""
    path = policy_path(name)
    with loading("policy", name):
        model_config = load_config(path)
        tokenizer = load_tokenizer(path)
    if not tokenizer.is_fast:
        raise TreestarError(f"policy {name!r} cannot be fine-tuned: it has no fast (Rust) tokenizer")
    return Base(name, path, model_config, tokenizer, step_format_for(model_config, tokenizer, config.step_format))


def make_trainer(
    base: Base,
    data: SFTData,
    out: Path,
    config: SFTTrainingConfig,
    on_progress: Callable[[TrainingProgress], None],
    making: Callable[..., PolicyTrainer] | None,
) -> PolicyTrainer:
    """Raises TreestarError if the weights cannot be read, or transformers, TRL or peft reject the settings."""
    import torch
    from trl import SFTConfig

    from treestar.training.sft.trainer import PolicyTrainer

    arguments = {
        "output_dir": str(out),
        **trainer_arguments(config, base.config.hidden_size, len(data.rows) / config.batch_size),
        "per_device_train_batch_size": config.batch_size,
        "packing": config.packing,
        "max_length": longest_row(base, config) if config.packing else None,
        **config.training_arguments,
    }
    with loading("policy", base.name):
        model = load_causal_model(
            base.path, **{"dtype": torch.float32, **(arguments.pop("model_init_kwargs", None) or {})}
        )
    names = base.step_format.interchangeable_tokens(base.tokenizer) if config.move_names else range(0)
    with making_trainer():
        return (making or PolicyTrainer)(
            model,
            base.tokenizer,
            data.rows,
            names,
            SFTConfig(**arguments),
            lora_config(config),
            optimizer_of(config, base.config.hidden_size),
            on_progress,
        )


def lora_config(config: SFTTrainingConfig) -> Any:
    """A `peft.LoraConfig`, or None."""
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", **config.lora})


def write_policy(base: Base, folder: Path) -> None:
    """Convert the trainer's output in `folder` to a checkpoint that differs from the base's only in its weights, with
    the step format in its config."""
    import torch
    from transformers import GenerationConfig

    trained = folder.with_name("trained")
    shutil.rmtree(trained, ignore_errors=True)  # left by a run that was killed here
    folder.rename(trained)
    config = load_config(base.path)
    config.treestar_format = base.step_format.name
    dtype = config.dtype or torch.float32
    if (trained / "adapter_config.json").exists():
        from peft import PeftModel

        whole = load_causal_model(base.path, config=config, dtype=torch.float32)
        model = PeftModel.from_pretrained(whole, trained).merge_and_unload().to(dtype)
    else:
        model = load_causal_model(str(trained), config=config, dtype=dtype)
    # Where the base has none, transformers derives one from the config.
    model.generation_config = load_generation_config(base.path) or GenerationConfig.from_model_config(config)
    model.save_pretrained(folder)
    load_tokenizer(base.path).save_pretrained(folder)
    shutil.rmtree(trained)
