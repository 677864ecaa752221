"""Continuous batching: sequences that are being continued side by side, each at a length of its own.

A sequence joins once its prompt has been read and leaves as soon as it ends, so none waits for the longest of its batch
(iteration-level scheduling; Orca, Yu et al. 2022). The rows are always 0 ... n - 1: the last one moves into the place
of one that leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from treestar.policy.sampling import choose_tokens
from treestar.types import Sampling

__all__ = ["Continuation", "DecodingBatch", "choose_next"]


@dataclass(slots=True, eq=False)
class Continuation:
    """One sequence that is being continued."""

    tokens: list[int]
    """Prompt and new tokens."""
    prompt: int
    """Length of the prompt."""
    sampling: Sampling
    numbers: list[float]
    """Its random numbers, one for each new token."""
    log_probabilities: list[float] = field(default_factory=list)
    """Of the new tokens, at temperature 1."""
    row: int = -1
    """Its row in the batch."""


ContinuationT = TypeVar("ContinuationT", bound=Continuation)


def choose_next(rows: Sequence[Continuation], logits: torch.Tensor) -> None:
    """Give every row its next token; `logits` has shape (rows, vocabulary)."""
    numbers = [row.numbers[len(row.tokens) - row.prompt] for row in rows]
    chosen = choose_tokens(logits, [row.sampling for row in rows], numbers)
    for row, token, log_probability in zip(rows, *chosen, strict=True):
        row.tokens.append(token)
        row.log_probabilities.append(log_probability)


class DecodingBatch(Generic[ContinuationT]):
    """The rows, and the keys and values of all their tokens but the last, which the next step reads."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows: list[ContinuationT] = []
        self.keys_values: torch.Tensor | None = None
        """Shape (layers, 2, rows, heads, columns, head dimension), grown as needed; a row fills its first columns."""
        self.positions = torch.empty(0, dtype=torch.long)
        """Where each row's next token stands, shape (rows,); valid during a step."""

    def join(self, rows: Sequence[ContinuationT], keys_values: torch.Tensor) -> None:
        """Add rows that continue the same prompt.

        Args:
            keys_values: of the prompt, shape (layers, 2, heads, tokens, head dimension).
        """
        first, length = len(self.rows), keys_values.shape[3]
        buffer = self.reserve(first + len(rows), length + 1, keys_values)
        buffer[:, :, first : first + len(rows), :, :length] = keys_values[:, :, None]
        for row in rows:
            row.row = len(self.rows)
            self.rows.append(row)

    def leave(self, leaving: ContinuationT) -> None:
        """Take a row out."""
        last = self.rows.pop()
        if last is not leaving:
            assert self.keys_values is not None
            columns = len(last.tokens) - 1
            self.keys_values[:, :, leaving.row, :, :columns] = self.keys_values[:, :, last.row, :, :columns]
            self.rows[leaving.row] = last
            last.row = leaving.row

    def known(self, row: ContinuationT) -> torch.Tensor:
        """Keys and values of all its tokens but the last, shape (layers, 2, heads, tokens, head dimension)."""
        assert self.keys_values is not None
        return self.keys_values[:, :, row.row, :, : len(row.tokens) - 1]

    def step(self) -> None:
        """Give every row its next token."""
        lengths = [len(row.tokens) for row in self.rows]
        assert self.keys_values is not None
        self.reserve(len(self.rows), max(lengths), self.keys_values[:, :, 0])
        device = self.keys_values.device
        self.positions = torch.tensor(lengths, device=device) - 1
        ids = torch.tensor([[row.tokens[-1]] for row in self.rows], device=device)
        mask = torch.arange(max(lengths), device=device) <= self.positions[:, None]
        with torch.inference_mode():
            output = self.model(
                input_ids=ids,
                attention_mask=mask.long(),
                position_ids=self.positions[:, None],
                past_key_values=Cache(layers=[BatchLayer(self, layer) for layer in self.keys_values]),
                use_cache=True,
                logits_to_keep=1,
            )
            choose_next(self.rows, output.logits[:, -1])

    def reserve(self, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
        """Make room, by half again as much, so that copying stays rare. `like`: (layers, 2, heads, any, dimension)."""
        old = self.keys_values
        if old is not None and old.shape[2] >= rows and old.shape[4] >= columns:
            return old
        layers, two, heads, _, dimension = like.shape
        if old is not None:
            rows = max(rows + rows // 2, old.shape[2]) if rows > old.shape[2] else old.shape[2]
            columns = max(columns + columns // 2, old.shape[4]) if columns > old.shape[4] else old.shape[4]
        new = like.new_zeros(layers, two, rows, heads, columns, dimension)
        if old is not None:
            new[:, :, : old.shape[2], :, : old.shape[4]] = old
        self.keys_values = new
        return new


class BatchLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers is not typed
    """One layer of a decoding batch, as transformers' attention layers see a cache."""

    is_sliding = False

    def __init__(self, batch: DecodingBatch[Any], keys_values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys_values
        self.positions = batch.positions
        self.rows = torch.arange(len(batch.rows), device=keys_values.device)
        self.columns = max(len(row.tokens) for row in batch.rows)
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the buffer exists."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write every row's new key and value behind its last, and give back all up to the longest row's end."""
        self.keys[self.rows, :, self.positions] = key_states[:, :, 0]
        self.values[self.rows, :, self.positions] = value_states[:, :, 0]
        rows = len(self.rows)
        return self.keys[:rows, :, : self.columns], self.values[:rows, :, : self.columns]

    def get_seq_length(self) -> int:
        return self.columns - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.columns, 0

    def get_max_length(self) -> int:
        return -1
