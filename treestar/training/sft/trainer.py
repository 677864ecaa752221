"""TRL's SFTTrainer for policies: rows of tokens, names that move, an order that can be resumed, reports of progress.

Imports trl at the top; the other modules import this one only where they train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from random import Random
from typing import Any

import datasets
import pyarrow.compute
import torch
from torch.utils.data import Sampler
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from treestar.training.ppm.trainer import ProgressReports
from treestar.training.renaming import moved_names
from treestar.training.run import TrainingProgress, diverged
from treestar.training.sft.data import TokenRow

__all__ = ["PolicyTrainer", "SimilarLengths"]

TOKENS = datasets.Sequence(datasets.Value("int32"))


class PolicyTrainer(SFTTrainer):  # type: ignore[misc]
    """Trains `model` on `rows`, in place.

    Args:
        tokenizer: the model's; TRL may give it a padding token.
        names: tokens that a row's own names may move among; may be empty (see `ppm.renaming`).
        lora: a `peft.LoraConfig`, or None to train all weights.
        optimizer: as `fine_tuning.optimizer_of` gives it.
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
                callbacks=[ProgressReports(on_progress)],
            )
        self.remove_callback(PrinterCallback)
        self.names = names
        # Each row, or pack of rows, knows its number: what is drawn for it hangs on that and the epoch alone.
        self.train_dataset = self.train_dataset.add_column("row", range(len(self.train_dataset)))
        self.pad = self.data_collator
        self.data_collator = self.tensors

    def epoch(self) -> int:
        return int(self.state.epoch or 0)

    def tensors(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = self.pad([self.moved(row) for row in rows] if self.names else rows)
        return tensors

    def moved(self, row: dict[str, Any]) -> dict[str, Any]:
        """`row` with its names moved by a random distance; in a pack each of its sequences by its own."""
        random = Random(f"{self.args.seed} {self.epoch()} {row['row']}")
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
        return SimilarLengths(lengths, self.args.per_device_train_batch_size, self.args.seed, self.epoch)

    def compute_loss(self, *arguments: Any, **named: Any) -> Any:
        """Raises TreestarError if the loss is not a finite number."""
        loss = super().compute_loss(*arguments, **named)
        if not torch.isfinite(loss):
            raise diverged(f"the loss at step {self.state.global_step + 1} is {loss.item()}")
        return loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: training.json says how the model was made."""

    def _send_telemetry(self) -> None:
        """Nothing: a training is nobody else's business."""


class SimilarLengths(Sampler[int]):
    """Every row once, those of a batch of similar length, which need little padding.

    The order hangs on the seed and the epoch alone, so a resumed training goes on with it and processes agree on it.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, epoch: Callable[[], int]) -> None:
        self.lengths = lengths
        self.batch = batch
        self.seed = seed
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = Random(f"{self.seed} {self.epoch()}")
        # The chance in it lets a row meet others than those of its own length.
        order = sorted(range(len(self)), key=lambda row: self.lengths[row] * random.uniform(0.9, 1.1))
        full, rest = divmod(len(order), self.batch)
        cut = random.randint(0, full) * self.batch
        last = order[cut : cut + rest]  # the incomplete batch, which the data loader takes from the end
        del order[cut : cut + rest]
        batches = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
        random.shuffle(batches)
        return chain(*batches, last)


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the progress bars of `datasets`, which would be mixed with those of the caller."""
    were_enabled = not datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if were_enabled:
            datasets.enable_progress_bars()
