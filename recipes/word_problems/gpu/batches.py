"""Rows of tokens in batches that all have the same number of tokens, so that one compiled layer reads them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from recipes.word_problems.gpu.llama import Shape, Weights, hidden_states

__all__ = ["LENGTHS", "TOKENS", "Row", "batches", "log_probabilities", "padded_length", "read_rows", "tensors"]

TOKENS = 30_720
"""In a batch, with padding."""

LENGTHS = (64, 96, 128, 160, 192, 240, 320, 384, 480)
"""To which rows are padded: divisors of TOKENS."""


@dataclass(frozen=True, slots=True)
class Row:
    """A sequence of tokens, of which some are learned."""

    ids: Sequence[int] | NDArray[np.int64]
    learned: Sequence[bool] | NDArray[np.bool_]
    weight: float = 1.0
    """Of each of its tokens in the loss: an advantage, for instance."""


def read_rows(file: Path) -> list[Row]:
    """What `prepare.py` wrote."""
    stored = np.load(file)
    ids = stored["ids"].astype(np.int64)
    learned = np.unpackbits(stored["learned"], count=len(ids)).astype(np.bool_)
    ends = np.cumsum(stored["lengths"], dtype=np.int64)[:-1]
    return [Row(*parts) for parts in zip(np.split(ids, ends), np.split(learned, ends), strict=True)]


def padded_length(length: int) -> int:
    """The number of columns for a row of at most LENGTHS[-1] tokens."""
    return min(columns for columns in LENGTHS if length <= columns)


def batches(rows: Sequence[Row], random: Random, tokens: int) -> list[list[Row]]:
    """The rows by length, in random batches in a random order; the last of each length can be smaller. Rows beyond the
    greatest length are left out."""
    by_length: dict[int, list[Row]] = {}
    for row in rows:
        if len(row.ids) <= LENGTHS[-1]:
            by_length.setdefault(padded_length(len(row.ids)), []).append(row)
    found = []
    for columns, group in by_length.items():
        random.shuffle(group)
        size = tokens // columns
        found += [group[start : start + size] for start in range(0, len(group), size)]
    random.shuffle(found)
    return found


def tensors(rows: Sequence[Row], padding: int, device: torch.device, tokens: int) -> tuple[Tensor, Tensor]:
    """Ids, and the weights of the learned ones (0 for the others), shapes (rows, columns) with `tokens` places; a small
    batch ends with empty rows."""
    columns = padded_length(max(len(row.ids) for row in rows))
    ids = np.full((tokens // columns, columns), padding, dtype=np.int64)
    weights = np.zeros(ids.shape, dtype=np.float32)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
        weights[place, : len(row.ids)] = np.asarray(row.learned, dtype=np.float32) * row.weight
    return torch.from_numpy(ids).to(device), torch.from_numpy(weights).to(device)


def log_probabilities(weights: Weights, ids: Tensor, chosen: Tensor, shape: Shape, compiled: bool) -> Tensor:
    """Of the chosen tokens, given those before them, shape (chosen tokens,).

    Args:
        chosen: boolean, shape of `ids`; never the first column.
    """
    hidden = hidden_states(weights, ids, shape, compiled)[:, :-1][chosen[:, 1:]]
    logits = linear(hidden, weights["model.embed_tokens.weight"]).float()
    return -cross_entropy(logits, ids[:, 1:][chosen[:, 1:]], reduction="none")
