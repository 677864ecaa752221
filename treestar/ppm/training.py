"""Trains a PPM from search trees: the run, what it leaves in its folder, and how an interrupted one goes on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.ppm.config import PPMTrainingConfig
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy
from treestar.ppm.objectives import LOSSES
from treestar.ppm.training_data import TrainingData, prepare
from treestar.ppm.trees import SkippedTree
from treestar.search import Tree
from treestar.types import TreestarError

if TYPE_CHECKING:
    from treestar.ppm.trainer import PPMTrainer, TrainingProgress

__all__ = ["train_ppm"]

REPORT = "training.json"

RATE_FACTOR = 1.5
"""The learning rate, where none is given, is this / width^1.5."""

LOSSES_LOGGED = 100
"""How many times, about, the loss is logged in a run."""


def train_ppm(
    trees: Iterable[Tree],
    policy: str,
    out: str | Path,
    config: PPMTrainingConfig | None = None,
    *,
    skipped: Sequence[SkippedTree] = (),
    resume: bool = False,
    training_arguments: Mapping[str, Any] | None = None,
    on_data: Callable[[TrainingData], None] = lambda _: None,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
) -> dict[str, Any]:
    """Train a PPM and write it into the folder `out`, with `training.json` beside it.

    Args:
        trees: searched with `gold`, so that every answer was judged.
        policy: `embedded`, a model folder, or a hub id: whose backbone the PPM starts from.
        skipped: what reading could not make a tree of (`TreeFolder.skipped`), for the counts.
        resume: go on from the last checkpoint in `out`.
        training_arguments: further fields of `transformers.TrainingArguments`, such as `fsdp`; they win over `config`.
        on_data: told what there is to train on, before training.
        on_progress: told after every step.

    Returns:
        What `training.json` holds: configuration, counts, losses, held-out pair accuracy, seconds and tokens.

    Raises:
        TreestarError: the policy cannot be loaded, the trees give nothing to train on, `out` holds another run, or
            training diverged.
    """
    if find_spec("accelerate") is None:
        raise TreestarError("training needs an extra package: pip install 'treestar[train]'")
    from treestar.ppm.trainer import diverged, pair_accuracy

    config, out = config or PPMTrainingConfig(), Path(out)
    check_folder(out, resume)
    ppm = ppm_from_policy(policy)
    data = prepare(trees, ppm, config, skipped)
    on_data(data)
    arguments = {**arguments_of(config, ppm, data), **(training_arguments or {})}
    settings = {"policy": policy, **asdict(config), "training_arguments": dict(training_arguments or {})}
    report: dict[str, Any] = {"settings": settings, "fingerprint": data.fingerprint, "data": data.to_json()}
    checkpoint = last_checkpoint(out)
    if checkpoint is not None:
        check_same_run(out, report)
    trainer = make_trainer(ppm, data, config, {"output_dir": str(out), **arguments}, on_progress)
    if trainer.is_world_process_zero():
        write_report(out, report)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    if not all(weight.isfinite().all() for weight in trainer.model.parameters()):
        raise diverged("the weights after the last step are not finite numbers")
    report["seconds"] = time.perf_counter() - started
    trainer.save_model(str(out))
    if trainer.is_world_process_zero():
        tidy(out, config)
    trainer.accelerator.wait_for_everyone()
    history = trainer.state.log_history
    report |= {
        "steps": trainer.state.global_step,
        "resumed_from": checkpoint and checkpoint.name,
        "tokens": round(report["data"]["tokens"] * trainer.state.epoch),
        "losses": [[entry["step"], entry["loss"]] for entry in history if "loss" in entry],
        "pair_accuracy_by_epoch": [
            [entry["epoch"], entry["eval_pair_accuracy"]] for entry in history if "eval_pair_accuracy" in entry
        ],
        # Of the PPM as it was stored.
        "pair_accuracy": pair_accuracy(load_ppm(str(out)), data.held_out) if data.held_out else None,
    }
    if trainer.is_world_process_zero():
        write_report(out, report)
    return report


def arguments_of(config: PPMTrainingConfig, ppm: PPM, data: TrainingData) -> dict[str, Any]:
    """`config` as fields of `transformers.TrainingArguments`."""
    import torch

    has_accelerator = torch.accelerator.is_available()
    steps = config.epochs * len(data.batches) / config.accumulation
    return {
        "per_device_train_batch_size": 1,  # an item of the data set is a batch
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate or RATE_FACTOR / ppm.model.config.hidden_size**1.5,
        "warmup_steps": config.warmup,
        "gradient_accumulation_steps": config.accumulation,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": config.bf16,
        "seed": config.seed,
        "report_to": config.report_to.split(","),
        "save_strategy": "epoch" if config.save_steps is None else "steps",
        "save_steps": config.save_steps or 1,
        "save_total_limit": 1,
        "eval_strategy": "epoch" if data.held_out else "no",
        "logging_steps": max(1, round(steps / LOSSES_LOGGED)),
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": not has_accelerator,
        "dataloader_pin_memory": has_accelerator,
    }


def make_trainer(
    ppm: PPM,
    data: TrainingData,
    config: PPMTrainingConfig,
    arguments: Mapping[str, Any],
    on_progress: Callable[[TrainingProgress], None],
) -> PPMTrainer:
    """Raises TreestarError where transformers does not accept the arguments."""
    from transformers import TrainingArguments

    from treestar.ppm.trainer import PPMTrainer

    try:
        return PPMTrainer(
            ppm, LOSSES[config.objective], data.batches, data.held_out, TrainingArguments(**arguments), on_progress
        )
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise TreestarError(f"the trainer cannot be set up: {error}") from error


def tidy(out: Path, config: PPMTrainingConfig) -> None:
    """Make of what the trainer left in `out` what stays there."""
    if config.bf16:
        load_ppm(str(out), device="cpu", dtype="bfloat16").save(out)
    (out / "training_args.bin").unlink(missing_ok=True)
    for folder in out.glob("checkpoint-*"):
        shutil.rmtree(folder)


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
    """The newest whole checkpoint: the trainer writes its state last."""
    whole = [state.parent for state in out.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def check_same_run(out: Path, report: Mapping[str, Any]) -> None:
    """Raise TreestarError unless the training in `out` was begun with the settings and data of `report`."""
    try:
        begun = json.loads((out / REPORT).read_text(encoding="utf-8"))
        before, now = begun["settings"], json.loads(json.dumps(report["settings"]))
        changed = [name for name in now if before.get(name) != now[name]]
        if begun["fingerprint"] != report["fingerprint"] and not changed:
            changed = ["trees"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TreestarError(f"{out / REPORT} is damaged, so this training cannot go on: give another folder") from error
    if changed:
        raise TreestarError(
            f"the training in {out} was begun with other {', '.join(changed)}: go on with the same, or give another "
            "folder"
        )


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    (out / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
