"""The SFT trainer with a loss for each kind of step, weighed by learned sigmas.

The sigmas are not parameters of the model: they have their own optimizer and are stored beside the model in
checkpoints. So the model may be wrapped in any way (LoRA, DDP, FSDP), and is saved as usual.

Imports trl at the top; import this module only to train.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback

from treestar.training.distill.config import STEP_KINDS, StepERTrainingConfig
from treestar.training.distill.loss import difficulty_aware_loss, sigmas, weighted_loss
from treestar.training.sft.data import NO_LOSS, TokenRow
from treestar.training.sft.trainer import PolicyTrainer, taught_logits
from treestar.training.trainer import finite

__all__ = ["StepERTrainer"]

SIGMAS = "sigmas.pt"


class StepERTrainer(PolicyTrainer):
    """A `PolicyTrainer` whose rows belong to kinds of steps.

    Args:
        config: says how their losses are added up.
    """

    loss_is_scaled_for_ga = True
    """For transformers: `compute_loss` already counts the tokens of all forward passes of a step."""

    def __init__(
        self, config: StepERTrainingConfig, model: Any, tokenizer: Any, rows: Sequence[TokenRow], *more: Any
    ) -> None:
        super().__init__(model, tokenizer, rows, *more)
        self.train_dataset = self.train_dataset.add_column("kind", [row.task for row in rows])
        self.is_difficulty_aware = config.weighting == "difficulty_aware"
        self.weights = torch.tensor(config.task_weights)
        # One parameter for each kind, so that Adam leaves alone those that a step does not have.
        self.log_variances = [torch.zeros((), requires_grad=True) for _ in STEP_KINDS]
        self.sigma_optimizer = torch.optim.Adam(self.log_variances, lr=config.sigma_learning_rate)
        self.tokens_of_kinds = torch.ones(len(STEP_KINDS))
        """Tokens with a loss in the current step, by kind: of all processes and forward passes."""
        self.losses = torch.zeros(len(STEP_KINDS))
        """L_j of the current step, as far as it is computed: this process's part times the number of processes."""
        self.passes = 1
        self.add_callback(SigmaSteps(self))

    def tensors(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {**super().tensors(rows), "kinds": torch.tensor([row["kind"] for row in rows])}

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """The forward passes of the next step. Counts their tokens, because a mean over all needs their number."""
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = torch.zeros(len(STEP_KINDS), device=device)
        for batch in samples:
            kinds = kinds_of_tokens(batch["labels"], batch["kinds"])
            counts += torch.bincount(kinds, minlength=len(STEP_KINDS)).to(device)
        self.tokens_of_kinds = self.accelerator.reduce(counts, "sum").cpu()
        self.losses, self.passes = torch.zeros(len(STEP_KINDS)), len(samples)
        return samples, items

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Raises TreestarError if the loss is not a finite number."""
        labels, kinds = inputs.pop("labels"), inputs.pop("kinds")
        losses = cross_entropy(*taught_logits(model, labels, **inputs), reduction="none")
        sums = losses.new_zeros(len(STEP_KINDS)).index_add(0, kinds_of_tokens(labels, kinds), losses)
        # The gradients of the processes are averaged, those of the forward passes added.
        present = self.tokens_of_kinds.nonzero().flatten()
        scale = self.accelerator.num_processes / self.tokens_of_kinds[present]
        parts = sums[present.to(sums.device)] * scale.to(sums.device)
        self.losses[present] += parts.detach().cpu()
        return finite(self.combined(parts, present), self)

    def combined(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        if not self.is_difficulty_aware:
            return weighted_loss(losses, self.weights[present].to(losses.device), len(STEP_KINDS))
        log_variances = torch.stack([self.log_variances[place] for place in present.tolist()])
        return difficulty_aware_loss(losses, log_variances.to(losses.device), share=1 / self.passes)

    def step_sigmas(self) -> None:
        """Update the sigmas with the gradients of all processes."""
        for log_variance in self.log_variances:
            if log_variance.grad is not None:  # in every process or in none: the tokens were counted over all
                log_variance.grad = self.averaged(log_variance.grad)
        self.sigma_optimizer.step()
        self.sigma_optimizer.zero_grad()

    def averaged(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over the processes."""
        mean: torch.Tensor = self.accelerator.reduce(tensor.to(self.accelerator.device), "mean")
        return mean.cpu()

    def log(self, logs: dict[str, float], *arguments: Any, **named: Any) -> None:
        if "loss" in logs:
            losses = self.averaged(self.losses)
            for place, kind in enumerate(STEP_KINDS):
                if self.tokens_of_kinds[place] > 0:
                    logs[f"loss_{kind}"] = losses[place].item()
                if self.is_difficulty_aware:
                    logs[f"sigma_{kind}"] = sigmas(self.log_variances[place].detach()).item()
        super().log(logs, *arguments, **named)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            values = [each.detach() for each in self.log_variances]
            torch.save({"values": values, "optimizer": self.sigma_optimizer.state_dict()}, Path(output_dir) / SIGMAS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            stored = torch.load(Path(checkpoint) / SIGMAS, weights_only=True)
            with torch.no_grad():
                for log_variance, value in zip(self.log_variances, stored["values"], strict=True):
                    log_variance.copy_(value)
            self.sigma_optimizer.load_state_dict(stored["optimizer"])


class SigmaSteps(TrainerCallback):  # type: ignore[misc]
    """Updates the sigmas whenever the model is updated."""

    def __init__(self, trainer: StepERTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.trainer.step_sigmas()


def kinds_of_tokens(labels: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
    """The kind of each token with a loss, in the order of the rows.

    Args:
        labels: int64 [rows, length].
        kinds: int64 [rows].
    """
    taught = labels[:, 1:] != NO_LOSS
    return kinds[:, None].expand(taught.shape)[taught]
