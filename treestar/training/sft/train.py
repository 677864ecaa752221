"""Supervised fine-tuning of a policy on verified trajectories, with TRL's SFTTrainer.

To train on several devices, start the program that calls `train_policy` with `accelerate launch` or `torchrun`: every
process passes the same arguments, and the main process writes the files (docs/guides/train.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.backends.transformers import context_length
from treestar.policy.models import text_config
from treestar.training.base_policy import Base, load_base, load_model, lora_config, write_policy
from treestar.training.run import (
    TrainingProgress,
    check_training,
    is_main_process,
    making_trainer,
    optimizer_of,
    train,
    trainer_arguments,
)
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import SFTData, SFTRow, prepare

if TYPE_CHECKING:
    from treestar.training.sft.trainer import PolicyTrainer

__all__ = ["longest_row", "train_on", "train_policy"]


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
    check_training(out, resume)
    model = load_base(base, config.step_format)
    data = prepare(rows, model.tokenizer, model.step_format, longest_row(model, config))
    return train_on(data, model, out, config, on_data, on_progress)


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
    finish: Callable[[Path], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune `base` on tokens; as `train_policy`, which makes them from trajectories.

    Args:
        making: makes another trainer than a `PolicyTrainer`, from the same arguments.
        history: more entries for the report, from the trainer at the end.
        finish: changes the folder of the trained model before it is moved into place.
    """
    if is_main_process():
        on_data(data)
    settings = {"base": base.name, **asdict(config)}
    report = {"settings": settings, "fingerprint": data.fingerprint, "data": data.to_json()}

    def write(trainer: Any, folder: Path) -> dict[str, Any]:
        write_policy(base, folder)
        finish(folder)
        return history(trainer)

    return train(lambda: make_trainer(base, data, out, config, on_progress, making), out, report, "rows", write)


def make_trainer(
    base: Base,
    data: SFTData,
    out: Path,
    config: SFTTrainingConfig,
    on_progress: Callable[[TrainingProgress], None],
    making: Callable[..., PolicyTrainer] | None,
) -> PolicyTrainer:
    """Raises TreestarError if the weights cannot be read, or transformers, TRL or peft reject the settings."""
    from trl import SFTConfig

    from treestar.training.sft.trainer import PolicyTrainer

    arguments = {
        "output_dir": str(out),
        **trainer_arguments(config, text_config(base.config).hidden_size, len(data.rows) / config.batch_size),
        "per_device_train_batch_size": config.batch_size,
        "packing": config.packing,
        "max_length": longest_row(base, config) if config.packing else None,
        **config.training_arguments,
    }
    model = load_model(base, arguments)
    names = base.step_format.interchangeable_tokens(base.tokenizer) if config.move_names else range(0)
    with making_trainer():
        return (making or PolicyTrainer)(
            model,
            base.tokenizer,
            data.rows,
            names,
            SFTConfig(**arguments),
            lora_config(config.lora),
            optimizer_of(config, arguments),
            on_progress,
        )
