"""`transformers.Trainer` for PPMs: the loss of a batch, held-out pair accuracy, and reports of progress.

Imports transformers at the top; the other modules import this one only where they train.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from treestar.ppm.model import PPM
from treestar.training.ppm.batches import Batch, collate, term_logits
from treestar.training.ppm.objectives import Loss
from treestar.training.renaming import move_names
from treestar.training.run import TrainingProgress, diverged

__all__ = ["PPMTrainer", "ProgressReports", "pair_accuracy"]


class PPMTrainer(Trainer):  # type: ignore[misc]
    """Trains `ppm.model`; a batch of the data loader is one `Batch`.

    Args:
        ppm: is trained in place.
        loss: as `objectives.loss_of` gives it.
        batches: what to train on.
        held_out: batches of pairs, on which accuracy is reported after every epoch; may be empty.
        optimizer: as `fine_tuning.optimizer_of` gives it.
    """

    def __init__(
        self,
        ppm: PPM,
        loss: Loss,
        batches: Sequence[Batch],
        held_out: Sequence[Batch],
        arguments: TrainingArguments,
        optimizer: tuple[Any, dict[str, Any]] | None,
        on_progress: Callable[[TrainingProgress], None],
    ) -> None:
        super().__init__(
            model=ppm.model,
            args=arguments,
            optimizer_cls_and_kwargs=optimizer,
            train_dataset=list(enumerate(batches)),
            eval_dataset=held_out,
            data_collator=self.tensors,
            processing_class=ppm.tokenizer,
            callbacks=[ProgressReports(on_progress)],
        )
        self.remove_callback(PrinterCallback)
        self.ppm = ppm
        self.names = ppm.step_format.interchangeable_tokens(ppm.tokenizer)
        self.loss = loss
        self.held_out = held_out
        self.loss_is_scaled_for_ga = False  # a batch's loss is its own; the trainer averages accumulated ones
        self.read_losses: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Weighted sum and sum of weights of each batch since the loss was last logged."""

    def tensors(self, items: Sequence[tuple[int, Batch]]) -> dict[str, torch.Tensor]:
        """The data loader's only item, a batch with its index, as what a forward pass takes."""
        [(index, batch)] = items
        random = Random(f"{self.args.seed} {int(self.state.epoch or 0)} {index}")
        return collate(move_names(batch, self.names, random), self.ppm.tokenizer.pad_token_id)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """The weighted sum of the terms' losses.

        Raises:
            TreestarError: it is not a finite number.
        """
        losses = self.loss(term_logits(self.ppm, inputs, model), inputs["targets"])
        loss: torch.Tensor = (losses * inputs["weights"]).sum()
        if not torch.isfinite(loss):
            raise diverged(f"the loss at step {self.state.global_step + 1} is {loss.item()}")
        self.read_losses.append((loss.detach(), inputs["weights"].sum()))
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the mean loss of a term over all processes: batches differ in weight, so the mean over batches would be
        noise."""
        if "loss" in logs:
            mine = torch.stack([torch.stack(each) for each in self.read_losses]).sum(0)
            self.read_losses.clear()
            loss, weight = self.accelerator.reduce(mine).tolist()
            logs["loss"] = loss / weight
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The pair accuracy on the held-out batches, for the trainer's logs."""
        metrics = {"eval_pair_accuracy": pair_accuracy(self.ppm, self.held_out, self.model_wrapped)}
        self.log(metrics)
        return metrics


@torch.no_grad()
def pair_accuracy(ppm: PPM, batches: Sequence[Batch], forward: Any = None) -> float:
    """The share of pairs whose chosen state scores higher; a tie counts half.

    Raises:
        TreestarError: a score is not a finite number.
    """
    was_training = ppm.model.training
    ppm.model.eval()
    right = pairs = 0.0
    for batch in batches:
        inputs = {
            name: tensor.to(ppm.model.device) for name, tensor in collate(batch, ppm.tokenizer.pad_token_id).items()
        }
        chosen, rejected = term_logits(ppm, inputs, forward).unbind(-1)
        if not torch.isfinite(chosen + rejected).all():
            raise diverged("a score of the trained model is not a finite number")
        right += ((chosen > rejected) + 0.5 * (chosen == rejected)).sum().item()
        pairs += len(chosen)
    ppm.model.train(was_training)
    return right / pairs


class ProgressReports(TrainerCallback):  # type: ignore[misc]
    """Passes the trainer's log on as `TrainingProgress`, in the main process."""

    def __init__(self, on_progress: Callable[[TrainingProgress], None]) -> None:
        self.on_progress = on_progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.on_progress(TrainingProgress(state.global_step, state.max_steps, state.epoch))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        found = logs.get("loss"), logs.get("eval_pair_accuracy")
        if state.is_world_process_zero and found != (None, None):
            self.on_progress(TrainingProgress(state.global_step, state.max_steps, state.epoch, *found))
