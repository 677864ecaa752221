"""Continuous batching: sequences that are continued together, each at its own length.

A sequence joins once its prompt has been read and leaves as soon as it ends, so none waits for the longest of its batch
(iteration-level scheduling; Orca, Yu et al. 2022). Rows that continue one prompt share its keys and values; each stores
only those of its own new tokens. Rows and prompts are always numbered 0 ... n - 1: the last one moves into the place of
one that leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from treestar.policy.backends.sampling import choose_tokens, confidences
from treestar.policy.backends.shared_attention import SharedPrompts
from treestar.types import Sampling

__all__ = ["Continuation", "DecodingBatch", "choose_next", "with_room"]


@dataclass(slots=True, eq=False)
class Prompt:
    """A prompt in the batch."""

    place: int
    """Its index among the batch's prompts."""
    length: int
    rows: int = 0
    """Rows that continue it."""


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
    confidences: list[float] = field(default_factory=list)
    """Of the new tokens, if the sampling asks for them."""
    row: int = -1
    """Its row in the batch."""
    shared: Prompt = field(init=False, repr=False)
    """Its prompt in the batch, once it has joined it."""

    @property
    def known(self) -> int:
        """New tokens whose keys and values are known: all but the last."""
        return len(self.tokens) - 1 - self.prompt


ContinuationT = TypeVar("ContinuationT", bound=Continuation)


def choose_next(rows: Sequence[Continuation], logits: torch.Tensor) -> None:
    """Give every row its next token; `logits` has shape (rows, vocabulary)."""
    numbers = [row.numbers[len(row.tokens) - row.prompt] for row in rows]
    chosen = choose_tokens(logits, [row.sampling for row in rows], numbers)
    for row, token, log_probability in zip(rows, *chosen, strict=True):
        row.tokens.append(token)
        row.log_probabilities.append(log_probability)
    asked = [place for place, row in enumerate(rows) if row.sampling.confidence_top]
    if asked:
        found = confidences(logits[asked], [rows[place].sampling for place in asked])
        for place, confidence in zip(asked, found, strict=True):
            rows[place].confidences.append(confidence)


class DecodingBatch(Generic[ContinuationT]):
    """The rows, and the keys and values of all their tokens but the last, which the next step reads."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows: list[ContinuationT] = []
        self.prompts: list[Prompt] = []
        self.of_prompts: torch.Tensor | None = None
        """The prompts' keys and values, shape (layers, 2, prompts, heads, columns, head dimension), grown as needed."""
        self.of_rows: torch.Tensor | None = None
        """The same of the rows' new tokens; a row fills its first columns."""

    def join(self, rows: Sequence[ContinuationT], keys_values: torch.Tensor) -> None:
        """Add rows that continue the same prompt.

        Args:
            keys_values: of the prompt, shape (layers, 2, heads, tokens, head dimension).
        """
        prompt = Prompt(len(self.prompts), keys_values.shape[3])
        self.prompts.append(prompt)
        columns = max(each.length for each in self.prompts)
        self.of_prompts = with_room(self.of_prompts, len(self.prompts), columns, keys_values)
        self.of_prompts[:, :, prompt.place, :, : prompt.length] = keys_values
        for row in rows:
            self.add(row, prompt)

    def add(self, row: ContinuationT, prompt: Prompt) -> None:
        prompt.rows += 1
        row.row, row.shared = len(self.rows), prompt
        self.rows.append(row)

    def fork(self, row: ContinuationT, twin: ContinuationT) -> None:
        """Add `twin`, which has the same tokens as `row`. The step just made has read all of them."""
        assert self.of_rows is not None
        self.add(twin, row.shared)
        columns = max(each.known for each in self.rows) + 1
        self.of_rows = with_room(self.of_rows, len(self.rows), columns, self.of_rows[:, :, 0])
        self.of_rows[:, :, twin.row, :, : row.known + 1] = self.of_rows[:, :, row.row, :, : row.known + 1]

    def leave(self, leaving: ContinuationT) -> None:
        """Remove a row."""
        last = self.rows.pop()
        if last is not leaving:
            # A row that no step has read yet may have no place there, and nothing to keep.
            if self.of_rows is not None and last.row < self.of_rows.shape[2]:
                columns = last.known + 1
                self.of_rows[:, :, leaving.row, :, :columns] = self.of_rows[:, :, last.row, :, :columns]
            self.rows[leaving.row] = last
            last.row = leaving.row
        leaving.shared.rows -= 1
        if leaving.shared.rows == 0:
            self.forget(leaving.shared)

    def forget(self, prompt: Prompt) -> None:
        """Remove a prompt."""
        last = self.prompts.pop()
        if last is not prompt:
            assert self.of_prompts is not None
            self.of_prompts[:, :, prompt.place, :, : last.length] = self.of_prompts[:, :, last.place, :, : last.length]
            self.prompts[prompt.place] = last
            last.place = prompt.place

    def known(self, row: ContinuationT) -> torch.Tensor:
        """Keys and values of all its tokens but the last, shape (layers, 2, heads, tokens, head dimension)."""
        assert self.of_prompts is not None
        prompt = self.of_prompts[:, :, row.shared.place, :, : row.prompt]
        if row.known == 0:
            return prompt
        assert self.of_rows is not None
        return torch.cat([prompt, self.of_rows[:, :, row.row, :, : row.known]], dim=3)

    def step(self) -> torch.Tensor:
        """Read every row's last token; returns the logits of the next one, shape (rows, vocabulary)."""
        assert self.of_prompts is not None
        device = self.of_prompts.device
        known = [row.known for row in self.rows]
        columns = max(known) + 1
        self.of_rows = with_room(self.of_rows, len(self.rows), columns, self.of_prompts[:, :, 0])
        prompts = self.shared_prompts()
        own, rows = torch.tensor(known, device=device), torch.arange(len(known), device=device)
        with torch.inference_mode():
            output = self.model(
                input_ids=torch.tensor([[row.tokens[-1]] for row in self.rows], device=device),
                attention_mask=(torch.arange(columns, device=device) <= own[:, None])[:, None, None],
                position_ids=own[:, None] + torch.tensor([[row.prompt] for row in self.rows], device=device),
                past_key_values=Cache(layers=[BatchLayer(layer, rows, own, columns) for layer in self.of_rows]),
                use_cache=True,
                logits_to_keep=1,
                shared_prompts=prompts,
            )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def shared_prompts(self) -> list[SharedPrompts]:
        """The prompts as attention sees them, in one or two parts."""
        many = self.bring_forward()
        parts = [self.prompts[:many], self.prompts[many:]] if many else [self.prompts]
        return [self.read_together(prompts) for prompts in parts]

    def bring_forward(self) -> int:
        """Move the prompts that many rows continue to the front, and return their number: 0 if all prompts are better
        read together."""
        many = number_with_many_rows([prompt.rows for prompt in self.prompts])
        front = sorted(self.prompts, key=lambda prompt: prompt.rows, reverse=True)[:many]
        late = [prompt for prompt in front if prompt.place >= many]
        early = [prompt for prompt in self.prompts[:many] if prompt not in front]
        if late:
            assert self.of_prompts is not None
            old, new = ([prompt.place for prompt in prompts] for prompts in (late + early, early + late))
            self.of_prompts[:, :, new] = self.of_prompts[:, :, old]
            for prompt, place in zip(late + early, new, strict=True):
                self.prompts[place], prompt.place = prompt, place
        return many

    def read_together(self, prompts: Sequence[Prompt]) -> SharedPrompts:
        """Neighboring prompts, padded to the longest and to as many rows as one of them has."""
        assert self.of_prompts is not None
        first, lengths = prompts[0].place, [prompt.length for prompt in prompts]
        rows = [row for row in self.rows if first <= row.shared.place < first + len(prompts)]
        return SharedPrompts.of(
            [row.row for row in rows] if len(rows) < len(self.rows) else slice(None),
            self.of_prompts[:, :, first : first + len(prompts), :, : max(lengths)],
            lengths,
            [row.shared.place - first for row in rows],
        )


def number_with_many_rows(rows: Sequence[int]) -> int:
    """How many of the prompts with so many rows are better read apart from the others.

    Prompts that are read together are padded to as many rows as one of them has. Two parts cost more calls, so they
    have to save half of what is computed.
    """
    falling = sorted(rows, reverse=True)
    padded = [many * falling[0] + (len(rows) - many) * falling[many] for many in range(len(rows))]
    least = min(padded)
    return padded.index(least) if 2 * least <= padded[0] else 0


MOST_ROOM = 4
"""How many times as much room as is needed is kept."""
KEPT_TOKENS = 8192
"""Room for so many is kept in any case: small batches come and go."""


def with_room(old: torch.Tensor | None, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """`old`, or a copy of its first `rows` and `columns` if it has too little room for them, or far too much. A copy
    that is larger has room for half as much again, so that copying stays rare. `like`: (layers, 2, heads, any, head
    dimension)."""
    if old is None:
        return room_for(rows, columns, like)
    old_rows, old_columns = old.shape[2], old.shape[4]
    kept = max(KEPT_TOKENS, MOST_ROOM * rows * columns)
    if rows <= old_rows and columns <= old_columns and old_rows * old_columns <= kept:
        return old
    new = room_for(
        rows + rows // 2 if rows > old_rows else min(old_rows, rows + rows // 2),
        columns + columns // 2 if columns > old_columns else min(old_columns, columns + columns // 2),
        like,
    )
    kept_rows, kept_columns = min(rows, old_rows), min(columns, old_columns)
    new[:, :, :kept_rows, :, :kept_columns] = old[:, :, :kept_rows, :, :kept_columns]
    return new


def room_for(rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    layers, two, heads, _, dimension = like.shape
    return like.new_zeros(layers, two, rows, heads, columns, dimension)


class BatchLayer(CacheLayerMixin):  # type: ignore[misc]  # transformers is not typed
    """One layer of the rows' new tokens, as transformers' attention layers see a cache.

    Args:
        keys_values: shape (2, at least as many rows, heads, at least as many columns, head dimension).
        rows: 0, 1, ..., rows - 1.
        known: how many tokens of each row are there already, shape (rows,).
        columns: one more than the most of these.
    """

    is_sliding = False

    def __init__(self, keys_values: torch.Tensor, rows: torch.Tensor, known: torch.Tensor, columns: int) -> None:
        super().__init__()
        self.keys, self.values = keys_values
        self.rows, self.known, self.columns = rows, known, columns
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the buffer exists."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Write every row's new key and value after its last, and return all up to the end of the longest row."""
        self.keys[self.rows, :, self.known] = key_states[:, :, 0]
        self.values[self.rows, :, self.known] = value_states[:, :, 0]
        rows = len(self.rows)
        return self.keys[:rows, :, : self.columns], self.values[:rows, :, : self.columns]

    def get_seq_length(self) -> int:
        return self.columns - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.columns, 0

    def get_max_length(self) -> int:
        return -1
