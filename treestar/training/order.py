"""The order of training data and the random draws for each item, which depend only on seed, epoch and item.

So a resumed training continues as if it had never been interrupted, and all processes of a training agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any

from torch.utils.data import Sampler

__all__ = ["SimilarLengths", "draws_for", "epoch_of"]


def epoch_of(trainer: Any) -> int:
    """The epoch that `trainer` is in, from 0."""
    return int(trainer.state.epoch or 0)


def draws_for(item: int, trainer: Any) -> Random:
    """The random numbers for the item with that index in the training set, in the epoch that `trainer` is in."""
    return Random(f"{trainer.args.seed} {epoch_of(trainer)} {item}")


class SimilarLengths(Sampler[int]):
    """Every row once, with rows of similar length in a batch, so that they need little padding.

    Args:
        lengths: number of tokens of each row.
        batch: number of rows in a batch.
        epoch: returns the current epoch.
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
        # The random factor mixes rows of different lengths.
        order = sorted(range(len(self)), key=lambda row: self.lengths[row] * random.uniform(0.9, 1.1))
        full, rest = divmod(len(order), self.batch)
        cut = random.randint(0, full) * self.batch
        last = order[cut : cut + rest]  # the incomplete batch, which the data loader takes from the end
        del order[cut : cut + rest]
        batches = [order[start : start + self.batch] for start in range(0, len(order), self.batch)]
        random.shuffle(batches)
        return chain(*batches, last)
