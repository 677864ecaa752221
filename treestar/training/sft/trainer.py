"""TRL's SFTTrainer for policies: rows of tokens, shifted names, and an order that can be resumed.

Imports trl at the top; import this module only to train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import datasets
import pyarrow.compute
import torch
from torch.nn.functional import cross_entropy
from trl import SFTConfig, SFTTrainer

from treestar.policy.models.output_layer import read_positions_at_once
from treestar.training.order import SimilarLengths, draws_for, epoch_of
from treestar.training.renaming import moved_names
from treestar.training.run import TrainingProgress
from treestar.training.sft.data import NO_LOSS, TokenRow
from treestar.training.trainer import Discreet, finite, report_progress

__all__ = ["PolicyTrainer", "taught_logits"]

TOKENS = datasets.Sequence(datasets.Value("int32"))


class PolicyTrainer(Discreet, SFTTrainer):  # type: ignore[misc]
    """Trains `model` on `rows`, in place.

    Args:
        tokenizer: the model's; TRL can add a padding token.
        names: the tokens that a row's names can be shifted to; can be empty (see `training.renaming`).
        lora: a `peft.LoraConfig`, or None to train all weights.
        optimizer: as `run.optimizer_of` returns it.
    """

    train_dataset: Any
    data_collator: Any

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: Sequence[TokenRow],
        names: range,
        arguments: SFTConfig,
        lora: Any,
        optimizer: tuple[Any, dict[str, Any]] | None,
        on_progress: Callable[[TrainingProgress], None],
    ) -> None:
        columns = {"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}
        with no_bars():
            super().__init__(
                model=model,
                args=arguments,
                train_dataset=datasets.Dataset.from_dict(
                    columns, datasets.Features({"input_ids": TOKENS, "labels": TOKENS})
                ),
                processing_class=tokenizer,
                peft_config=lora,
                optimizer_cls_and_kwargs=optimizer,
            )
        # TRL's loss is divided by the tokens of a whole step, also for models that could not do that themselves.
        self.model_accepts_loss_kwargs |= not getattr(model, "accepts_loss_kwargs", True)
        read_positions_at_once(model)
        report_progress(self, on_progress)
        self.names = names
        # Each row, or pack of rows, has its index in a column: its random draws depend on that and the epoch.
        self.train_dataset = self.train_dataset.add_column("row", range(len(self.train_dataset)))
        self.pad = self.data_collator
        self.data_collator = self.tensors

    def tensors(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = self.pad([self.moved(row) for row in rows] if self.names else rows)
        return tensors

    def moved(self, row: dict[str, Any]) -> dict[str, Any]:
        """`row` with its names shifted by a random distance; in a pack, each sequence by its own distance."""
        random = draws_for(row["row"], self)
        ids: list[int] = []
        labels: list[int] = []
        for length in row.get("seq_lengths") or [len(row["input_ids"])]:
            part = slice(len(ids), len(ids) + length)
            moved = moved_names(set(row["input_ids"][part]), self.names, random)
            ids += [moved.get(token, token) for token in row["input_ids"][part]]
            labels += [moved.get(token, token) for token in row["labels"][part]]
        return {**row, "input_ids": ids, "labels": labels}

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "random":
            return super()._get_train_sampler(train_dataset)
        lengths = pyarrow.compute.list_value_length(self.train_dataset.data["input_ids"]).to_pylist()
        return SimilarLengths(lengths, self.args.per_device_train_batch_size, self.args.seed, partial(epoch_of, self))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Raises TreestarError if the loss is not a finite number."""
        if num_items_in_batch is None or not self.args.use_cpu or not self.is_cross_entropy:
            return finite(super().compute_loss(model, inputs, return_outputs, num_items_in_batch), self)
        # TRL's loss is made for GPUs: on a CPU it takes 40% of the time of a training with LoRA.
        processes = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return finite(summed_loss(model, **inputs) * processes / num_items_in_batch, self)

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the loss is the cross-entropy of the tokens alone: the user may want another of TRL's losses, and a
        mixture of experts has a part for its router."""
        return self.args.loss_type == "nll" and self.label_smoother is None and not self.aux_loss_enabled


def summed_loss(model: Any, labels: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """The cross-entropy of all tokens with a loss, summed. Arguments as for `taught_logits`."""
    return cross_entropy(*taught_logits(model, labels, **inputs), reduction="sum")


def taught_logits(model: Any, labels: torch.Tensor, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits of the tokens with a loss, in float32, and these tokens. Only computed from the first of them on.

    Args:
        labels: shape (rows, tokens); NO_LOSS for tokens without a loss.
        inputs: the model's other inputs.

    Returns:
        Of shape (tokens with a loss, vocabulary), in the order of the rows, and (tokens with a loss,).
    """
    learned = (labels[:, 1:] != NO_LOSS).any(0).nonzero()
    first = 1 + int(learned[0]) if len(learned) else labels.shape[1]
    logits = model(**inputs, use_cache=False, logits_to_keep=labels.shape[1] - first + 1).logits[:, :-1]
    wanted = labels[:, first:]
    taught = wanted != NO_LOSS
    return logits[taught].float(), wanted[taught]


@contextmanager
def no_bars() -> Iterator[None]:
    """Turn off the progress bars of `datasets`, which would be mixed with those of the caller."""
    were_enabled = not datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_enabled:
            datasets.enable_progress_bars()
