"""What training a policy and training a PPM share: settings, the folder of a run, and how an interrupted one goes on.

Both run transformers' Trainer, in one process or in several that `accelerate launch` or `torchrun` started. A folder
holds a finished model if and only if it has a config.json, for that file is put there last.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from treestar.config.checks import check_choice, check_number, check_whole
from treestar.types import TreestarError

__all__ = [
    "FineTuningConfig",
    "Optimizer",
    "TrainingProgress",
    "check_folder",
    "diverged",
    "is_main_process",
    "last_checkpoint",
    "optimizer_of",
    "train",
    "trainer_arguments",
]

REPORT = "training.json"

Optimizer = Literal["adamw", "muon"]

RATE_FACTORS: dict[Optimizer, float] = {"adamw": 1.5, "muon": 7.5}
"""The learning rate, where none is given, is this / width^1.5."""

LOSSES_LOGGED = 100
"""How many times, about, the loss is logged in a run."""


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """The settings that every training has. The defaults suit models from millions to billions of parameters."""

    epochs: float = 2.0
    """Passes over the training data."""
    optimizer: Optimizer = "adamw"
    """`adamw`, or for small models `muon`: Muon for the layers' matrices and AdamW for the rest (not with FSDP)."""
    learning_rate: float | None = None
    """Highest rate, which then falls to 0. By default 1.5 / width^1.5 (4e-4 for the embedded model, 7e-6 for a width of
    3,584, which is 7 billion parameters), and five times that with `muon`."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises from 0."""
    accumulation: int = 1
    """Forward passes a step, in each process."""
    seed: int = 0
    """Of everything that is drawn at random."""
    bf16: bool = False
    """Compute in bfloat16; the weights are updated in float32."""
    gradient_checkpointing: bool = False
    """Compute activations twice rather than keep them: less memory, a third more time."""
    save_steps: int | None = None
    """Write a checkpoint to resume from every so many steps; by default after every epoch."""
    report_to: str = "none"
    """Also log to `tensorboard`, `wandb` or another logger of transformers, with commas between several."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the field, the value and what is allowed."""
        check_choice(self, "optimizer")
        check_number(self, "epochs", "learning_rate", above=0)
        check_number(self, "warmup", at_least=0, below=1)
        check_whole(self, "accumulation", "save_steps")


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a training is."""

    step: int
    steps: int
    """All steps of the run."""
    epoch: float
    loss: float | None = None
    """Mean since the last report that had one."""
    pair_accuracy: float | None = None
    """Of a PPM on held-out problems, after an epoch."""


def trainer_arguments(config: FineTuningConfig, width: int, batches: float) -> dict[str, Any]:
    """`config` as fields of `transformers.TrainingArguments`.

    Args:
        width: the model's hidden size.
        batches: forward passes an epoch, all processes together.
    """
    import torch

    has_accelerator = torch.accelerator.is_available()
    steps = config.epochs * batches / (config.accumulation * process_count())
    return {
        "num_train_epochs": config.epochs,
        "learning_rate": learning_rate(config, width),
        "warmup_steps": config.warmup,
        "gradient_accumulation_steps": config.accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": config.bf16,
        "seed": config.seed,
        "report_to": config.report_to.split(","),
        "save_strategy": "epoch" if config.save_steps is None else "steps",
        "save_steps": config.save_steps or 1,
        "save_total_limit": 1,
        "logging_steps": max(1, round(steps / LOSSES_LOGGED)),
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": not has_accelerator,
        "dataloader_pin_memory": has_accelerator,
    }


def learning_rate(config: FineTuningConfig, width: int) -> float:
    return config.learning_rate or RATE_FACTORS[config.optimizer] / width**1.5


def optimizer_of(config: FineTuningConfig, width: int) -> tuple[Any, dict[str, Any]] | None:
    """What transformers' Trainer takes as `optimizer_cls_and_kwargs`."""
    if config.optimizer == "adamw":
        return None
    from treestar.training.muon import muon_with_adamw

    return muon_with_adamw, {"learning_rate": learning_rate(config, width)}


def train(
    make_trainer: Callable[[], Any],
    out: Path,
    report: dict[str, Any],
    data: str,
    finish: Callable[[Any, Path], dict[str, Any]],
) -> dict[str, Any]:
    """Train, from the last checkpoint in `out` if there is one, and leave the model and its report there.

    Args:
        make_trainer: makes the `transformers.Trainer`.
        report: `settings`, `data` with its `tokens`, and the data's `fingerprint`: what makes this run this run.
        data: what the fingerprint is of, in a word.
        finish: makes of the trained model in a folder the one that is published, and gives more to report; called in
            the main process.

    Returns:
        The whole report, in every process.

    Raises:
        TreestarError: `out` holds another run, or training diverged.
    """
    report["settings"]["processes"] = process_count()
    checkpoint = last_checkpoint(out)
    if checkpoint is not None:
        check_same_run(out, report, data)
    trainer = make_trainer()
    if is_main_process():
        write_report(out, report)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    seconds = time.perf_counter() - started
    save_whole_model(trainer, out / "finished")
    if is_main_process():
        report |= {
            "seconds": seconds,
            "steps": trainer.state.global_step,
            "resumed_from": checkpoint and checkpoint.name,
            "tokens": round(report["data"]["tokens"] * trainer.state.epoch),
            "losses": [[entry["step"], entry["loss"]] for entry in trainer.state.log_history if "loss" in entry],
        }
        report |= finish(trainer, out / "finished")
        write_report(out, report)
        publish(out / "finished", out)
    return gathered(report)


def process_count() -> int:
    """Processes that train together, as their launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the process among them that writes files and speaks."""
    return os.environ.get("RANK", "0") == "0"


def check_folder(out: Path, resume: bool) -> None:
    """Raise TreestarError if `out` cannot be written, or holds what must not be written over."""
    if (out / "config.json").exists():
        raise TreestarError(f"{out} already holds a model: give another folder")
    if not resume and last_checkpoint(out) is not None:
        raise TreestarError(f"{out} holds an unfinished training: go on with --resume, or give another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT).open("a").close()
    except OSError as error:
        raise TreestarError(f"{out} cannot be written: {error.strerror or error}") from error


def last_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint: the trainer writes its state last, and may be killed while it does."""
    whole = [state.parent for state in out.glob("checkpoint-*/trainer_state.json") if is_json(state)]
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def check_same_run(out: Path, report: Mapping[str, Any], data: str) -> None:
    """Raise TreestarError unless the training in `out` was begun with the settings and the fingerprint of `report`."""
    try:
        begun = json.loads((out / REPORT).read_text(encoding="utf-8"))
        before, now = begun["settings"], json.loads(json.dumps(report["settings"]))
        changed = [name for name in now if before.get(name) != now[name]]
        if begun["fingerprint"] != report["fingerprint"] and not changed:
            changed = [data]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TreestarError(f"{out / REPORT} is damaged, so this training cannot go on: give another folder") from error
    if changed:
        raise TreestarError(
            f"the training in {out} was begun with other {', '.join(changed)}: go on with the same, or give another "
            "folder"
        )


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write the report in one go: a killed run leaves the one before or this one, never a half."""
    partial = out / f"{REPORT}.partial"
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(out / REPORT)


def save_whole_model(trainer: Any, folder: Path) -> None:
    """Write the trained model into `folder`, from the main process; every process has to call it.

    Raises:
        TreestarError: the weights are not finite numbers.
    """
    if not all(weight.isfinite().all() for weight in trainer.model.parameters()):
        raise diverged("the weights after the last step are not finite numbers")
    if trainer.is_fsdp_enabled:  # in shards, which checkpoints may stay in, nothing else could read it
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)


def publish(finished: Path, out: Path) -> None:
    """Move the files of a finished model into `out`, config.json last, and drop what the training needed to resume."""
    for file in sorted(finished.iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(out / file.name)
    finished.rmdir()
    for folder in out.glob("checkpoint-*"):
        shutil.rmtree(folder)


def gathered(report: dict[str, Any]) -> dict[str, Any]:
    """The main process's report, in every process, once all have come this far."""
    from accelerate.utils import broadcast_object_list

    [found] = broadcast_object_list([report])
    return dict(found)


def diverged(what: str) -> TreestarError:
    return TreestarError(
        f"training diverged: {what}. Try a lower learning rate, a longer warmup, or without bf16; if it happens at "
        "step 1, the policy's own weights are at fault"
    )
