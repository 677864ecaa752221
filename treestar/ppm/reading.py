"""Reads scores: which token sequence of a batch each score is read with, and the model and its head.

A score depends only on the tokens up to its position. So sequences that begin alike share the scores of that beginning,
and these are read once, however many of the sequences need them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from treestar.policy.backends.batch_memory import columns_at_once
from treestar.policy.backends.prefix_cache import PrefixCache, parts_of, read, window_of

if TYPE_CHECKING:
    import torch

__all__ = ["Head", "Reader", "TransformersReader", "beginnings", "unread_once", "values_at"]

KeyT = TypeVar("KeyT", bound=Hashable)
PlaceT = TypeVar("PlaceT")

Head = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""From the hidden states at some positions, shape (positions, width), float32, and the ids of the tokens that follow
them, shape (positions,), to one raw value for each position, float64."""


class Reader(Protocol):
    """A model and its head."""

    def raw_values(self, rows: Sequence[list[int]], positions: Sequence[list[int]]) -> list[tuple[list[float], int]]:
        """For each row the head's values at its positions, and the number of tokens that were read. Called in the
        scoring thread; a row ends with its last position, or with the token after it."""
        ...


@dataclass(frozen=True, slots=True)
class TransformersReader:
    """Implements `Reader` with a model of transformers, and remembers what it has read."""

    backbone: Any
    """A transformers model without a head."""
    head: Head
    prefixes: PrefixCache

    def raw_values(self, rows: Sequence[list[int]], positions: Sequence[list[int]]) -> list[tuple[list[float], int]]:
        """See `Reader.raw_values`."""
        parts = parts_of(rows, columns_at_once(self.backbone))
        return [each for part in parts for each in self.raw_values_together(rows[part], positions[part])]

    def raw_values_together(
        self, rows: Sequence[list[int]], positions: Sequence[list[int]]
    ) -> list[tuple[list[float], int]]:
        import torch

        forward = partial(last_hidden_state, self.backbone)
        window, columns = window_of(self.backbone.config), columns_at_once(self.backbone)
        sequences = read(forward, rows, self.prefixes, self.backbone.device, columns, positions, window)
        # The token after the last one is unknown; no head that needs it is read there.
        following = [[*row, 0][place + 1] for row, places in zip(rows, positions, strict=True) for place in places]
        with torch.inference_mode():
            hidden = torch.cat([sequence.output for sequence in sequences]).float()
            values = self.head(hidden, torch.tensor(following, device=hidden.device)).tolist()
        found = []
        for row, places, sequence in zip(rows, positions, sequences, strict=True):
            found.append((values[: len(places)], len(row) - sequence.reused))
            values = values[len(places) :]
        return found


def last_hidden_state(backbone: Any, **inputs: Any) -> Any:
    """The backbone's output after its final norm, shape (rows, columns, width)."""
    return backbone(**inputs, use_cache=True).last_hidden_state


def values_at(
    reader: Reader, rows: Sequence[list[int]], places: Sequence[list[int]], beyond: int = 0
) -> list[tuple[list[float], int]]:
    """Like `Reader.raw_values`, with each row only up to `beyond` tokens after its last place. Rows without places are
    not read."""
    needed = [(row[: own[-1] + 1 + beyond], own) for row, own in zip(rows, places, strict=True) if own]
    outcome = iter(reader.raw_values([row for row, _ in needed], [own for _, own in needed]) if needed else ())
    return [next(outcome) if own else ([], 0) for own in places]


def beginnings(ids: Sequence[int], ends: Iterable[int]) -> list[bytes]:
    """For each of `ends`, ascending, the digest of the tokens before it."""
    digest, done, found = blake2b(digest_size=16), 0, []
    for end in ends:
        digest.update(array("q", ids[done:end]).tobytes())
        done = end
        found.append(digest.digest())
    return found


def unread_once(
    keyed: Sequence[Sequence[tuple[KeyT, PlaceT]]], known: Container[KeyT] = ()
) -> list[list[tuple[KeyT, PlaceT]]]:
    """The scores that each row must be read for, of those that it has, given by what they depend on and their place.
    One that several rows have is read in the row with the most scores, so all beginnings of a solution together cost
    no more than the whole."""
    unread: list[list[tuple[KeyT, PlaceT]]] = [[] for _ in keyed]
    assigned: set[KeyT] = set()
    for row in sorted(range(len(keyed)), key=lambda row: len(keyed[row]), reverse=True):
        unread[row] = [pair for pair in keyed[row] if pair[0] not in known and pair[0] not in assigned]
        assigned.update(key for key, _ in unread[row])
    return unread
