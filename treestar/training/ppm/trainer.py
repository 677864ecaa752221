"""`transformers.Trainer` for PPMs: the loss of a batch, and pair accuracy on held-out problems.

Imports transformers at the top; import this module only to train.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from peft import get_peft_model
from transformers import Trainer, TrainingArguments

from treestar.ppm.model import PPM
from treestar.training.order import draws_for
from treestar.training.ppm.batches import Batch, collate, term_logits
from treestar.training.ppm.objectives import Loss
from treestar.training.renaming import move_names
from treestar.training.run import TrainingProgress, diverged
from treestar.training.trainer import finite, report_progress

__all__ = ["PPMTrainer", "pair_accuracy"]


class PPMTrainer(Trainer):  # type: ignore[misc]
    """Trains `ppm.model`; a batch of the data loader is one `Batch`.

    Args:
        ppm: is trained in place.
        loss: as `objectives.loss_of` returns it.
        batches: the training data.
        held_out: batches of pairs on which accuracy is reported after every epoch; can be empty.
        optimizer: as `run.optimizer_of` returns it.
        lora: a `peft.LoraConfig`, or None to train all weights.
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
        lora: Any = None,
    ) -> None:
        super().__init__(
            # With an adapter, only that and the head are trained; this changes the model itself.
            model=ppm.model if lora is None else get_peft_model(ppm.model, lora),
            args=arguments,
            optimizer_cls_and_kwargs=optimizer,
            train_dataset=list(enumerate(batches)),
            eval_dataset=held_out,
            data_collator=self.tensors,
            processing_class=ppm.tokenizer,
        )
        report_progress(self, on_progress)
        self.ppm = ppm
        self.names = ppm.step_format.interchangeable_tokens(ppm.tokenizer)
        self.loss = loss
        self.held_out = held_out
        self.loss_is_scaled_for_ga = False  # a batch's loss is its own; the trainer averages accumulated ones
        self.read_losses: list[tuple[torch.Tensor, torch.Tensor]] = []
        """Weighted sum and sum of weights of each batch since the loss was last logged."""

    def tensors(self, items: Sequence[tuple[int, Batch]]) -> dict[str, torch.Tensor]:
        """The inputs of a forward pass from the data loader's only item, a batch with its index."""
        [(index, batch)] = items
        return collate(move_names(batch, self.names, draws_for(index, self)), self.ppm.tokenizer.pad_token_id)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The weighted sum of the terms' losses. Raises TreestarError if it is not a finite number."""
        losses = self.loss(term_logits(self.ppm, inputs, model), inputs["targets"])
        loss = finite((losses * inputs["weights"]).sum(), self)
        self.read_losses.append((loss.detach(), inputs["weights"].sum()))
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the mean loss of a term over all processes: batches differ in weight, so a mean over batches would mostly
        be noise."""
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
