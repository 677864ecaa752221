"""Supervised fine-tuning of a policy on verified trajectories, with TRL's SFTTrainer.

Start the program that calls `train_policy` with `accelerate launch` or `torchrun` to train on several devices; all
processes give the same arguments, and the main one writes the files (docs/training.md).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.config.checks import check_whole
from treestar.policy.backends.transformers import context_length
from treestar.policy.formats import FormatName, StepFormat, step_format_for
from treestar.policy.models import loading, policy_path
from treestar.training.renaming import name_tokens
from treestar.training.run import (
    FineTuningConfig,
    TrainingProgress,
    check_folder,
    optimizer_of,
    train,
    trainer_arguments,
)
from treestar.training.sft.data import SFTData, SFTRow, prepare
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.training.sft.trainer import PolicyTrainer

__all__ = ["SFTRow", "SFTTrainingConfig", "train_policy"]


@dataclass(frozen=True, kw_only=True)
class SFTTrainingConfig(FineTuningConfig):
    """How a policy is fine-tuned. A step's loss is the mean over the tokens that the policy writes, of all rows of
    all processes and forward passes of that step."""

    batch_size: int = 16
    """Rows of a forward pass, in each process; with packing, packs."""
    max_length: int = 4096
    """Longer trajectories are left out, and those that exceed the model's context."""
    packing: bool = False
    """Put several trajectories into one row of `max_length` tokens, each seeing only itself. Worth it where attention
    runs as FlashAttention; set it in `training_arguments`, as `model_init_kwargs: {attn_implementation: ...}`."""
    move_names: bool = True
    """In the `bound` format, move a row's names by a random distance whenever it is shown."""
    step_format: FormatName | None = None
    """The form of the step format that the policy learns; by default the one that the base speaks."""
    lora: Mapping[str, Any] | None = None
    """Fields of `peft.LoraConfig`: train only low-rank adapters, which are merged into the stored weights."""
    training_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `trl.SFTConfig`, such as `fsdp` or `optim`; they win over those above."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        super().__post_init__()
        check_whole(self, "batch_size")
        check_whole(self, "max_length", at_least=2)


@dataclass(frozen=True, slots=True)
class Base:
    """The model that is fine-tuned."""

    name: str
    path: str
    config: Any
    """As its folder has it; training changes the model's own."""
    tokenizer: Any
    step_format: StepFormat


def train_policy(
    rows: Iterable[SFTRow],
    base: str,
    out: str | Path,
    config: SFTTrainingConfig | None = None,
    *,
    resume: bool = False,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune a policy and write it into the folder `out`, with `training.json` beside it.

    The folder is an ordinary Hugging Face checkpoint that `load_policy` loads: in the base's dtype, with its tokenizer
    and generation settings, and the step format in its config.json (which is there only once all is done).

    Args:
        base: `embedded`, a model folder, or a hub id.
        resume: go on from the last checkpoint in `out`, if there is one.
        on_progress: told after every step, in the main process.

    Returns:
        What `training.json` holds: settings, data, losses, seconds and tokens.

    Raises:
        TreestarError: a package is missing, the base cannot be loaded, a trajectory is not finished, the rows give
            nothing to train on, `out` holds another run, or training diverged.
    """
    config, out = config or SFTTrainingConfig(), Path(out)
    check_packages(config)
    check_folder(out, resume)
    model = load_base(base, config)
    data = prepare(
        rows,
        model.tokenizer,
        model.step_format,
        min(config.max_length, context_length(model.config, model.tokenizer)),
    )
    settings = {"base": base, **asdict(config)}
    report = {"settings": settings, "fingerprint": data.fingerprint, "data": data.to_json()}

    def finish(_: Any, folder: Path) -> dict[str, Any]:
        write_policy(model, folder)
        return {}

    return train(lambda: make_trainer(model, data, out, config, on_progress), out, report, "rows", finish)


def check_packages(config: SFTTrainingConfig) -> None:
    """Raises TreestarError saying what to install."""
    if find_spec("trl") is None:
        raise TreestarError("training needs an extra package: pip install 'treestar[train]'")
    if config.lora is not None and find_spec("peft") is None:
        raise TreestarError("training with lora needs an extra package: pip install peft")


def load_base(name: str, config: SFTTrainingConfig) -> Base:
    """Raises TreestarError where it cannot be loaded."""
    from transformers import AutoConfig, AutoTokenizer

    path = policy_path(name)
    with loading("policy", name):
        model_config = AutoConfig.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
    if not tokenizer.is_fast:
        raise TreestarError(f"policy {name!r} cannot be fine-tuned: its tokenizer has no fast (Rust) form")
    return Base(name, path, model_config, tokenizer, step_format_for(model_config, tokenizer, config.step_format))


def make_trainer(
    base: Base,
    data: SFTData,
    out: Path,
    config: SFTTrainingConfig,
    on_progress: Callable[[TrainingProgress], None],
) -> PolicyTrainer:
    """Raises TreestarError where the weights cannot be read, or transformers, TRL or peft refuse the settings."""
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig

    from treestar.training.sft.trainer import PolicyTrainer

    arguments = {
        "output_dir": str(out),
        **trainer_arguments(config, base.config.hidden_size, len(data.rows) / config.batch_size),
        "per_device_train_batch_size": config.batch_size,
        "packing": config.packing,
        "max_length": min(config.max_length, context_length(base.config, base.tokenizer)) if config.packing else None,
        **config.training_arguments,
    }
    with loading("policy", base.name):
        model = AutoModelForCausalLM.from_pretrained(
            base.path, **{"dtype": torch.float32, **(arguments.pop("model_init_kwargs", None) or {})}
        )
    names = name_tokens(base.tokenizer, base.step_format) if config.move_names else range(0)
    try:
        return PolicyTrainer(
            model,
            base.tokenizer,
            data.rows,
            names,
            SFTConfig(**arguments),
            lora_config(config),
            optimizer_of(config, base.config.hidden_size),
            on_progress,
        )
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise TreestarError(f"the trainer cannot be set up: {error}") from error


def lora_config(config: SFTTrainingConfig) -> Any:
    """A `peft.LoraConfig`, or None."""
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", **config.lora})


def write_policy(base: Base, folder: Path) -> None:
    """Make of what the trainer saved in `folder` a checkpoint that differs from the base's in its weights alone, and
    that says which step format it speaks."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    trained = folder.with_name("trained")
    shutil.rmtree(trained, ignore_errors=True)  # of a run that was killed here
    folder.rename(trained)
    config = AutoConfig.from_pretrained(base.path)
    config.treestar_format = base.step_format.name
    dtype = config.dtype or torch.float32
    if (trained / "adapter_config.json").exists():
        from peft import PeftModel

        whole = AutoModelForCausalLM.from_pretrained(base.path, config=config, dtype=torch.float32)
        model = PeftModel.from_pretrained(whole, trained).merge_and_unload().to(dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(trained, config=config, dtype=dtype)
    try:
        model.generation_config = GenerationConfig.from_pretrained(base.path)
    except OSError:  # the base has none; transformers makes one of the config
        model.generation_config = GenerationConfig.from_model_config(config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base.path).save_pretrained(folder)
    shutil.rmtree(trained)
