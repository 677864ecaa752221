"""Keys and values of token sequences that a model has read before, so that a shared prefix is read once.

Sequences are cut into blocks. A block is identified by the digest of everything up to its end, so equal blocks of
different sequences share a place exactly if everything before them is equal too (the automatic prefix caching of vLLM;
Kwon et al. 2023). Siblings share their prompt this way, and a child continues where its parent's generation ended.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from treestar.policy.models import text_config

if TYPE_CHECKING:
    import torch

__all__ = ["BLOCK", "PrefixCache", "ReadSequence", "batches_of", "parts_of", "read", "window_of"]

BLOCK = 8
"""Tokens per block. A step of a small model has about 15 tokens, so larger blocks would lose much of it."""

TOKENS_AT_ONCE = 8192
"""Maximum tokens in one forward pass of `read`; bounds its memory."""

TOKENS_OF_A_PASS = 64
"""A further forward pass takes as long as reading about so many tokens on a CPU: more padding than this is avoided."""


class PrefixCache:
    """The most recently used blocks, as many as fit into `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.places: OrderedDict[bytes, int] = OrderedDict()
        """The index of each block in `blocks`, by the digest of all tokens up to its end; least recently used first."""
        self.blocks: torch.Tensor | None = None
        """Shape (capacity, layers, 2, heads, BLOCK, head dimension); allocated for the first block."""
        self.capacity = 0
        self.read_tokens = 0
        self.reused_tokens = 0

    def clear(self) -> None:
        """Forget everything, because the model's weights have changed."""
        self.places.clear()

    def match(self, tokens: Sequence[int], most: int | None = None) -> list[int]:
        """Places of the known blocks at the beginning of `tokens`, of at most `most` tokens. By default at least one
        token stays unmatched, because a model has to read something to predict what comes next."""
        found: list[int] = []
        for digest in block_digests(tokens, (len(tokens) - 1 if most is None else most) // BLOCK):
            place = self.places.get(digest)
            if place is None:
                break
            self.places.move_to_end(digest)
            found.append(place)
        return found

    def store(self, tokens: Sequence[int], keys_values: torch.Tensor) -> None:
        """Remember the whole blocks at the beginning of `tokens`.

        Args:
            keys_values: shape (layers, 2, heads, n, head dimension), of the first n tokens.
        """
        import torch

        layers, two, heads, length, dimension = keys_values.shape
        if self.blocks is None:
            size = layers * two * heads * BLOCK * dimension
            self.capacity = self.max_bytes // (size * keys_values.element_size())
            shape = (self.capacity, layers, two, heads, BLOCK, dimension)
            self.blocks = torch.empty(shape, dtype=keys_values.dtype, device=keys_values.device)
        count = min(length // BLOCK, self.capacity)
        fresh: list[int] = []
        places: list[int] = []
        for index, digest in enumerate(block_digests(tokens, count)):
            if digest in self.places:
                self.places.move_to_end(digest)
                continue
            full = len(self.places) == self.capacity
            self.places[digest] = self.places.popitem(last=False)[1] if full else len(self.places)
            fresh.append(index)
            places.append(self.places[digest])
        if fresh:
            blocks = keys_values[:, :, :, : count * BLOCK].reshape(layers, two, heads, count, BLOCK, dimension)
            try:
                self.blocks[places] = blocks[:, :, :, fresh].permute(3, 0, 1, 2, 4, 5)
            except Exception:
                self.clear()  # out of memory: what the new places hold is not what they are said to hold
                raise

    def gather(self, matches: Sequence[Sequence[int]]) -> torch.Tensor:
        """The blocks of several matches, shape (layers, 2, rows, heads, tokens of the longest, head dimension); the
        end of a shorter match holds arbitrary values."""
        import torch

        assert self.blocks is not None
        longest = max(map(len, matches))
        places = torch.tensor([[*match, *[0] * (longest - len(match))] for match in matches], device=self.blocks.device)
        return self.blocks[places].permute(2, 3, 0, 4, 1, 5, 6).flatten(4, 5)


def block_digests(tokens: Sequence[int], count: int) -> Iterator[bytes]:
    """For each of the first `count` blocks the digest of all tokens up to its end."""
    digest = b""
    for start in range(0, count * BLOCK, BLOCK):
        block = array("q", tokens[start : start + BLOCK]).tobytes()
        digest = blake2b(digest + block, digest_size=16).digest()
        yield digest


@dataclass(frozen=True, slots=True)
class ReadSequence:
    """A sequence that a model has read."""

    output: torch.Tensor
    """The model's output at the last token, or at the positions that were asked for, shape (positions, ...)."""
    keys_values: torch.Tensor
    """Shape (layers, 2, heads, tokens, head dimension)."""
    reused: int
    """Tokens at its beginning that were in the cache."""


def read(
    forward: Callable[..., Any],
    sequences: Sequence[Sequence[int]],
    cache: PrefixCache,
    device: torch.device,
    columns: int,
    positions: Sequence[Sequence[int]] | None = None,
    window: int | None = None,
) -> list[ReadSequence]:
    """Have a model read `sequences`, each only beyond its part in `cache`; afterwards all of them are in the cache.

    Args:
        forward: the model, called with `input_ids`, `attention_mask`, `position_ids` and `past_key_values`; returns a
            tensor of shape (rows, columns, ...), of which the last column is kept, or those of `positions`.
        device: the model's.
        columns: maximum tokens of sequences that go through the model together, with those in the cache
            (`columns_at_once`).
        positions: for each sequence the indices of the tokens whose outputs are wanted, ascending and at least one. A
            sequence is read from the first of them, even if more of it is in the cache.
        window: how many tokens back some of the model's layers see (`window_of`); None if all see everything. Such
            layers count columns, so where it matters a row must have no masked ones: it is read alone.

    Returns:
        One for each sequence, in order.
    """
    found: dict[int, ReadSequence] = {}
    wanted = [[len(sequence) - 1] for sequence in sequences] if positions is None else positions
    matches = [cache.match(sequence, of_row[0]) for sequence, of_row in zip(sequences, wanted, strict=True)]
    unread = [len(sequence) - BLOCK * len(match) for sequence, match in zip(sequences, matches, strict=True)]
    cache.read_tokens += sum(unread)
    cache.reused_tokens += sum(map(len, sequences)) - sum(unread)
    by_length = sorted(range(len(sequences)), key=unread.__getitem__)
    batches = list(batches_of(by_length, unread, [BLOCK * len(match) for match in matches], columns))
    if window is not None:
        batches = [part for rows in batches for part in without_gaps(rows, sequences, unread, window)]
    for rows in batches:
        asked = None if positions is None else [positions[row] for row in rows]
        of_rows = [sequences[row] for row in rows], [matches[row] for row in rows]
        outcome = read_batch(forward, *of_rows, cache, device, asked)
        found.update(zip(rows, outcome, strict=True))
    # Only now, because storing may overwrite a block that was matched.
    for row, sequence in enumerate(sequences):
        cache.store(sequence, found[row].keys_values)
    return [found[row] for row in range(len(sequences))]


def parts_of(sequences: Sequence[Sequence[int]], columns: int) -> Iterator[slice]:
    """Consecutive sequences to `read` in one call, which keeps what it reads of them until it has read all."""
    first = tokens = 0
    for place, sequence in enumerate(sequences):
        if place > first and tokens + len(sequence) > columns:
            yield slice(first, place)
            first, tokens = place, 0
        tokens += len(sequence)
    if sequences:
        yield slice(first, len(sequences))


def batches_of(rows: Sequence[int], unread: Sequence[int], known: Sequence[int], columns: int) -> Iterator[list[int]]:
    """`rows`, sorted by how much of them is unread, in groups of at most TOKENS_AT_ONCE tokens to read and `columns` in
    all, padding included. A row that would add much padding to the shorter ones before it begins the next group."""
    group: list[int] = []
    width = 0
    for row in rows:
        count, width = len(group) + 1, max(width, known[row])
        added_padding = (count - 1) * (unread[row] - unread[group[-1]]) if group else 0
        is_full = count * unread[row] > TOKENS_AT_ONCE or count * (width + unread[row]) > columns
        if group and (is_full or added_padding > TOKENS_OF_A_PASS):
            yield group
            group, width = [], known[row]
        group.append(row)
    if group:
        yield group


def window_of(config: Any) -> int | None:
    """How many tokens back the layers with the shortest view see; None if all see everything."""
    config = text_config(config)
    found = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min([each for each in found if each], default=None)


def without_gaps(
    rows: list[int], sequences: Sequence[Sequence[int]], unread: Sequence[int], window: int
) -> list[list[int]]:
    """The batch `rows`, or each of its rows alone if the batch has more columns than the window."""
    columns = max([len(sequences[row]) - unread[row] for row in rows]) + max([unread[row] for row in rows])
    return [rows] if columns <= window else [[row] for row in rows]


def layers_of(prefix: torch.Tensor) -> list[Any]:
    """Known keys and values, shape (layers, 2, rows, ...), as transformers' cache wants them."""
    from transformers.cache_utils import DynamicLayer

    layers = []
    for keys, values in prefix:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        layers.append(layer)
    return layers


def read_batch(
    forward: Callable[..., Any],
    sequences: Sequence[Sequence[int]],
    matches: Sequence[Sequence[int]],
    cache: PrefixCache,
    device: torch.device,
    wanted: Sequence[Sequence[int]] | None,
) -> list[ReadSequence]:
    """One forward pass. A row's columns: its known prefix, a masked gap, and the tokens to read, which end in the last
    column for all rows."""
    import torch
    from transformers.cache_utils import Cache, DynamicLayer

    known = [BLOCK * len(match) for match in matches]
    prefix = cache.gather(matches) if any(known) else None
    width = 0 if prefix is None else prefix.shape[4]
    longest = max(len(sequence) - length for sequence, length in zip(sequences, known, strict=True))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros(len(sequences), width + longest, dtype=torch.long)
    positions = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, (sequence, length) in enumerate(zip(sequences, known, strict=True)):
        unread = len(sequence) - length
        ids[row, longest - unread :] = torch.tensor(sequence[length:])
        mask[row, :length] = 1
        mask[row, width + longest - unread :] = 1
        positions[row, longest - unread :] = torch.arange(length, len(sequence))
    past = Cache(layer_class_to_replicate=DynamicLayer) if prefix is None else Cache(layers=layers_of(prefix))
    del prefix  # each layer replaces its part by a longer copy
    with torch.inference_mode():
        output = forward(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=past,
        )
        keys_values = torch.stack([torch.stack([layer.keys, layer.values]) for layer in past.layers])
        del past
        found = []
        for row, (sequence, length) in enumerate(zip(sequences, known, strict=True)):
            shift = longest - len(sequence)  # from a token's place to its column of the output
            places = None if wanted is None else [shift + place for place in wanted[row]]
            of_prefix = keys_values[:, :, row, :, :length]
            of_rest = keys_values[:, :, row, :, width + shift + length :]
            found.append(
                ReadSequence(
                    output[row, -1 if places is None else places], torch.cat([of_prefix, of_rest], dim=3), length
                )
            )
        return found
