"""Trains a process preference model from search trees (rStar-Math, section 3.3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treestar.policy.models import load_config, loading, policy_path, text_config
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy
from treestar.ppm.trees import SkippedTree
from treestar.search import Tree
from treestar.training.base_policy import keep_adapter, lora_config
from treestar.training.ppm.config import PPMTrainingConfig, check_training_arguments
from treestar.training.ppm.data import TrainingData, prepare
from treestar.training.ppm.objectives import loss_of
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

if TYPE_CHECKING:
    from treestar.training.ppm.trainer import PPMTrainer

__all__ = ["train_ppm"]


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
    """Train a PPM and write it into the folder `out`, with `training.json`.

    Args:
        trees: searched with `gold`, so that every answer was judged.
        policy: a shipped policy, a model folder, or a hub id; the PPM starts from its backbone. Or a PPM, to continue
            its training.
        skipped: files and lines from which no tree could be read (`TreeFolder.skipped`), for the counts.
        resume: continue from the last checkpoint in `out`, if any.
        training_arguments: more fields of `transformers.TrainingArguments`, such as `fsdp`; they override `config`.
        on_data: called with the data before training, in the main process.
        on_progress: called after every step, in the main process.

    Returns:
        The content of `training.json`: settings, counts, losses, held-out pair accuracy, seconds and tokens.

    Raises:
        TreestarError: a package is missing, the policy cannot be loaded, the trees give no pairs, `out` contains
            another run, or training diverged.
    """
    check_package("accelerate")
    config, out = config or PPMTrainingConfig(), Path(out)
    with making_trainer():
        check_training_arguments(training_arguments or {}, "training_arguments")
    check_folder(out, resume)
    ppm = ppm_to_train(policy)
    data = prepare(trees, ppm, config, skipped)
    if is_main_process():
        on_data(data)
    arguments = {
        "output_dir": str(out),
        **trainer_arguments(config, text_config(ppm.model.config).hidden_size, len(data.batches)),
        "per_device_train_batch_size": 1,  # an item of the data set is a batch
        "eval_strategy": "epoch" if data.held_out else "no",
        **(training_arguments or {}),
    }
    settings = {"policy": policy, **asdict(config), "training_arguments": dict(training_arguments or {})}
    report = {"settings": settings, "fingerprint": data.fingerprint, "data": data.to_json()}

    def finish(trainer: Any, folder: Path) -> dict[str, Any]:
        if config.lora is not None:
            merge_adapter(policy, trainer, folder)
        if config.bf16:
            load_ppm(str(folder), device="cpu", dtype="bfloat16").save(folder)
        return accuracies(trainer.state.log_history, folder, data)

    return train(lambda: make_trainer(ppm, data, config, arguments, on_progress), out, report, "trees", finish)


def merge_adapter(policy: str, trainer: PPMTrainer, folder: Path) -> None:
    """Replace the adapter that the trainer saved in `folder` with the merged PPM, and keep it in the folder's
    `adapter`."""
    trained = folder.with_name("trained")
    shutil.rmtree(trained, ignore_errors=True)  # left by a run that was killed here
    folder.rename(trained)
    trainer.model.merge_and_unload()  # in place, so that `trainer.ppm` has the merged weights
    trainer.ppm.save(folder)
    keep_adapter(policy, load_config(str(folder)), trained, folder / "adapter")
    shutil.rmtree(trained)


def ppm_to_train(name: str) -> PPM:
    """The PPM that training starts from, in float32 on the CPU: `name` itself if it is a PPM in the layout that
    `PPM.save` writes, otherwise a new one on the backbone of the policy of that name.

    Raises:
        TreestarError: as `load_ppm` and `ppm_from_policy` do.
    """
    with loading("policy", name):
        config = load_config(policy_path(name))
    is_ppm = (config.architectures or [""])[0].endswith("ForSequenceClassification")
    return load_ppm(name, device="cpu", dtype="float32") if is_ppm else ppm_from_policy(name)


def accuracies(history: Iterable[Mapping[str, float]], folder: Path, data: TrainingData) -> dict[str, Any]:
    """Held-out pair accuracy after each epoch, and that of the PPM as it is stored in `folder`."""
    from treestar.training.ppm.trainer import pair_accuracy

    return {
        "pair_accuracy_by_epoch": [
            [entry["epoch"], entry["eval_pair_accuracy"]] for entry in history if "eval_pair_accuracy" in entry
        ],
        "pair_accuracy": pair_accuracy(load_ppm(str(folder)), data.held_out) if data.held_out else None,
    }


def make_trainer(
    ppm: PPM,
    data: TrainingData,
    config: PPMTrainingConfig,
    arguments: Mapping[str, Any],
    on_progress: Callable[[TrainingProgress], None],
) -> PPMTrainer:
    """Raises TreestarError if transformers does not accept the arguments."""
    from transformers import TrainingArguments

    from treestar.training.ppm.trainer import PPMTrainer

    with making_trainer():
        return PPMTrainer(
            ppm,
            loss_of(config.objective, config.centering),
            data.batches,
            data.held_out,
            TrainingArguments(**arguments),
            optimizer_of(config, arguments),
            on_progress,
            lora_config(None if config.lora is None else {"task_type": "SEQ_CLS", **config.lora}),
        )
