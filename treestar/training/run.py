"""Shared code of all trainings: settings, the folder of a run, and resuming an interrupted run.

They run transformers' Trainer, in one process or in several started by `accelerate launch` or `torchrun`. A folder
contains a finished model if and only if it has a config.json, because that file is moved there last.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from treestar.config.checks import check_choice, check_number, check_whole
from treestar.extras import needs_extra
from treestar.storage.files import LOCK, locked, noticing_full_disk, read_object, write_json, writing
from treestar.storage.settings import check_same_settings
from treestar.training.checkpoints import check_complete, continuing, last_checkpoint, tell_unfinished
from treestar.types import TreestarError

__all__ = [
    "REPORT",
    "FineTuningConfig",
    "OptimizationConfig",
    "Optimizer",
    "TrainingProgress",
    "check_arguments",
    "check_folder",
    "check_package",
    "check_training",
    "diverged",
    "finished_report",
    "is_main_process",
    "is_sharded",
    "making_trainer",
    "optimization_arguments",
    "optimizer_of",
    "process_count",
    "train",
    "trainer_arguments",
]

REPORT = "training.json"

Optimizer = Literal["adamw", "muon"]

RATE_FACTORS: dict[Optimizer, float] = {"adamw": 1.5, "muon": 7.5}
"""The default learning rate is this / width^1.5."""

OF_OTHER_OPTIMIZERS = ("optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
"""Fields of `transformers.TrainingArguments` that only its own optimizers read."""

OF_NO_TRAINING = {
    "output_dir": "a training's folder also holds its checkpoints",
    "resume_from_checkpoint": "a training is continued with resume (--resume)",
}
"""Fields of `transformers.TrainingArguments` that do not apply to any training, and the reasons."""

LOSSES_LOGGED = 100
"""Approximate number of times that the loss is logged in a run."""


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """The settings of every training. The defaults suit models from millions to billions of parameters."""

    rate_scale: ClassVar[float] = 1.0
    """The default learning rate is this times that of supervised fine-tuning."""

    optimizer: Optimizer = "adamw"
    """`adamw`, or for small models `muon`: Muon for the layers' matrices and AdamW for the rest (not with FSDP)."""
    learning_rate: float | None = None
    """The highest learning rate, which then falls to 0. By default 1.5 / width^1.5 (4e-4 for a width of 256, 7e-6 for a
    width of 3,584, which is 7 billion parameters), and five times that with `muon`."""
    warmup: float = 0.05
    """Fraction of the steps in which the learning rate rises from 0."""
    seed: int = 0
    """Seed of all random draws."""
    bf16: bool = False
    """Compute in bfloat16; the weights are updated in float32."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, a third more time."""
    save_steps: int | None = None
    """How often to write a checkpoint to resume from, in steps; by default after every epoch."""
    report_to: str = "none"
    """Also log to `tensorboard`, `wandb` or another logger of transformers; separate several with commas."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        check_choice(self, "optimizer")
        check_number(self, "learning_rate", above=0)
        check_number(self, "warmup", at_least=0, below=1)
        check_whole(self, "save_steps")


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig(OptimizationConfig):
    """The settings of trainings that pass over a fixed set of data."""

    epochs: float = 2.0
    """Passes over the training data."""
    accumulation: int = 1
    """Forward passes per step, in each process."""

    def __post_init__(self) -> None:
        """Raises ValueError that names the field, the value and what is allowed."""
        super().__post_init__()
        check_number(self, "epochs", above=0)
        check_whole(self, "accumulation")


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a training."""

    step: int
    steps: int
    """Steps of the whole run."""
    epoch: float
    loss: float | None = None
    """Mean loss since the last report that had one."""
    pair_accuracy: float | None = None
    """Accuracy of a PPM on held-out pairs, after an epoch."""


def trainer_arguments(config: FineTuningConfig, width: int, batches: float) -> dict[str, Any]:
    """`config` as fields of `transformers.TrainingArguments`.

    Args:
        width: the model's hidden size.
        batches: forward passes per epoch, all processes together.
    """
    steps = config.epochs * batches / (config.accumulation * process_count())
    return {
        **optimization_arguments(config, width),
        "num_train_epochs": config.epochs,
        "gradient_accumulation_steps": config.accumulation,
        "save_strategy": "epoch" if config.save_steps is None else "steps",
        "save_steps": config.save_steps or 1,
        "logging_steps": max(1, round(steps / LOSSES_LOGGED)),
    }


def optimization_arguments(config: OptimizationConfig, width: int) -> dict[str, Any]:
    """What `config` says about every training, as fields of `transformers.TrainingArguments`."""
    import torch

    has_accelerator = torch.accelerator.is_available()
    return {
        "learning_rate": learning_rate(config, width),
        "warmup_steps": config.warmup,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": config.bf16,
        "seed": config.seed,
        "report_to": config.report_to.split(","),
        "save_total_limit": 1,
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": not has_accelerator,
        "dataloader_pin_memory": has_accelerator,
    }


def learning_rate(config: OptimizationConfig, width: int) -> float:
    return config.learning_rate or config.rate_scale * RATE_FACTORS[config.optimizer] / width**1.5


def optimizer_of(config: OptimizationConfig, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The argument `optimizer_cls_and_kwargs` of transformers' Trainer.

    Args:
        arguments: the fields of `transformers.TrainingArguments`, with those that the user gave.

    Raises:
        ValueError: some of them would have no effect on this optimizer, or it cannot train a model in shards.
    """
    if config.optimizer == "adamw":
        return None
    if is_sharded(arguments):
        raise ValueError(f"the optimizer {config.optimizer} does not work with FSDP: it needs whole matrices")
    without_effect = [name for name in OF_OTHER_OPTIMIZERS if name in arguments]
    if without_effect:
        raise ValueError(f"{', '.join(without_effect)} would have no effect with the optimizer {config.optimizer}")
    from treestar.training.muon import MuonWithAdamW

    # A function that returns a callable of the model: the form of an optimizer that needs all of it.
    return lambda: MuonWithAdamW, {"learning_rate": arguments["learning_rate"]}


def check_arguments(arguments: Iterable[str], reasons: Mapping[str, str], name: str) -> None:
    """Raise ValueError if a field of the trainer's `arguments` does not apply to the training.

    Args:
        reasons: of fields that do not apply to this kind of training, beside those that do not apply to any.
        name: how the arguments are called in the error.
    """
    for field in arguments:
        reason = OF_NO_TRAINING.get(field) or reasons.get(field)
        if reason is not None:
            raise ValueError(f"{name} must not have {field}: {reason}")


def check_package(name: str) -> None:
    """Raise TreestarError with installation instructions unless the package `name`, of the extra `train`, is there."""
    if find_spec(name) is None:
        raise needs_extra(f"this training (package {name})", "train")


@contextmanager
def making_trainer() -> Iterator[None]:
    """Raises TreestarError if transformers, TRL or peft do not accept their settings."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise TreestarError(f"the trainer cannot be set up: {error}") from error


def train(
    make_trainer: Callable[[], Any],
    out: Path,
    report: dict[str, Any],
    data: str,
    finish: Callable[[Any, Path], dict[str, Any]],
) -> dict[str, Any]:
    """Train, from the last checkpoint in `out` if any, and write the model and its report there.

    Args:
        make_trainer: creates the `transformers.Trainer`.
        report: `settings`, `data` with its `tokens` where they are known before, and the data's `fingerprint`, which
            together identify this run.
        data: the kind of data in the fingerprint, in one word, for errors.
        finish: called in the main process with the trainer and the folder of the trained model. Converts that model to
            the published one, and returns more entries for the report.

    Returns:
        The whole report, in every process.

    Raises:
        TreestarError: `out` contains another run or is in use by one, its last checkpoint is incomplete or damaged, or
            training diverged.
    """
    report["settings"]["processes"] = process_count()
    with held_alone(out), noticing_full_disk(out):
        checkpoint = last_checkpoint(out)
        if is_main_process():
            tell_unfinished(out, checkpoint)
        if checkpoint is not None:
            check_same_run(out, report, data)
            check_complete(checkpoint, process_count())
        trainer = make_trainer()
        if is_main_process():
            write_json(out / REPORT, report)
        started = time.perf_counter()
        with continuing(trainer, checkpoint):
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        seconds = time.perf_counter() - started
        save_whole_model(trainer, out / "finished")
        if is_main_process():
            report |= {
                "seconds": seconds,
                "steps": trainer.state.global_step,
                "resumed_from": checkpoint and checkpoint.name,
                "tokens": round(report["data"].get("tokens", 0) * trainer.state.epoch),
                "losses": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
            }
            report |= finish(trainer, out / "finished")
            write_json(out / REPORT, report)
            publish(out / "finished", out)
    from accelerate.utils import broadcast_object_list

    [found] = broadcast_object_list([report])  # the main process's, once all have reached this point
    return dict(found)


@contextmanager
def held_alone(out: Path) -> Iterator[None]:
    """Keep other trainings out of the folder. Raises TreestarError if one is in it, or has finished since it was
    checked."""
    if not is_main_process():
        yield
        return
    with locked(out):
        check_unfinished(out)
        yield
        (out / LOCK).unlink()  # the folder is now a model, which others copy


def is_sharded(arguments: Mapping[str, Any]) -> bool:
    """Whether FSDP is asked for: by fields of `transformers.TrainingArguments`, or by accelerate's configuration."""
    return bool(arguments.get("fsdp")) or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


def process_count() -> int:
    """The number of processes that train together, as set by their launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process that writes files and reports progress."""
    return os.environ.get("RANK", "0") == "0"


def check_folder(out: Path, resume: bool) -> None:
    """Raise TreestarError if `out` cannot be written, or contains something that must not be overwritten."""
    check_unfinished(out)
    if not resume and last_checkpoint(out) is not None:
        raise TreestarError(f"{out} contains an unfinished training: continue it with --resume, or give another folder")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT).open("a").close()


def check_unfinished(out: Path) -> None:
    """Raise TreestarError if `out` has a finished model."""
    if (out / "config.json").exists():
        raise TreestarError(f"{out} already contains a model: give another folder")


def check_training(out: Path, resume: bool) -> None:
    """Raise TreestarError if TRL is missing, or `out` contains something that must not be overwritten."""
    check_package("trl")
    check_folder(out, resume)


def check_same_run(out: Path, report: Mapping[str, Any], data: str) -> None:
    """Raise TreestarError unless the training in `out` has the settings and the fingerprint of `report`."""
    now = json.loads(json.dumps(report["settings"]))
    begun = read_object(out / REPORT) or {}
    try:
        before = {name: begun["settings"].get(name) for name in now}
        fingerprint = begun["fingerprint"]
    except (KeyError, AttributeError) as error:
        raise TreestarError(
            f"{out / REPORT} is damaged, so this training cannot be continued: give another folder"
        ) from error
    check_same_settings(out, before, now)
    check_same_settings(out, {data: fingerprint}, {data: report["fingerprint"]}, f"use the same {data}")


def finished_report(folder: Path) -> dict[str, Any]:
    """The report in the folder of a finished model. Raises TreestarError if it is missing or damaged."""
    found = read_object(folder / REPORT)
    if found is None:
        raise TreestarError(
            f"{folder / REPORT} is missing or damaged, so nothing says how this model was trained: put it back, or "
            f"delete {folder} to train it again"
        )
    return found


def save_whole_model(trainer: Any, folder: Path) -> None:
    """Write the trained model into `folder`, from the main process; every process must call it.

    Raises:
        TreestarError: the weights are not finite numbers.
    """
    if not all(weight.isfinite().all() for weight in trainer.model.parameters()):
        raise diverged("the weights after the last step are not finite numbers")
    if trainer.is_fsdp_enabled:  # checkpoints can stay in shards, but other programs could not read a model in shards
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)


def publish(finished: Path, out: Path) -> None:
    """Move the files of a finished model into `out`, config.json last, and delete the checkpoints."""
    for file in sorted(finished.iterdir(), key=lambda file: file.name == "config.json"):
        target = out / file.name
        if target.is_dir():  # an adapter moved there by a run that was killed before config.json was
            shutil.rmtree(target)
        file.replace(target)
    finished.rmdir()
    for folder in out.glob("checkpoint-*"):
        shutil.rmtree(folder)


def diverged(what: str) -> TreestarError:
    return TreestarError(
        f"training diverged: {what}. Try a lower learning rate, a longer warmup, or training without bf16; if it "
        "happens at step 1, the initial weights are faulty"
    )
