"""A scorer over a process preference model, on CPU or CUDA.

The states of all running searches wait in one queue and are read in batches (`batching.py`), without the tokens that
the model has already read for their ancestors. Of a state and its ancestors in one batch only the state is read.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from treestar.policy.backends.prefix_cache import BLOCK, PrefixCache
from treestar.policy.backends.transformers import context_length
from treestar.ppm.batching import BatchedScorer
from treestar.ppm.encoding import Encoded, encode, fitting_part
from treestar.ppm.model import PPM
from treestar.ppm.reading import Head, TransformersReader, beginnings, unread_once, values_at
from treestar.types import State

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersScorer"]


class TransformersScorer(BatchedScorer[Encoded]):
    """Implements `treestar.types.Scorer`. One scorer serves one event loop at a time.

    A state that exceeds the model's context scores as the longest part of it that fits (`encoding.fitting_part`).

    Args:
        max_batch: maximum number of states in one forward pass.
        prefix_cache_bytes: memory for the keys and values of prefixes that can be reused.
    """

    def __init__(self, ppm: PPM, name: str, max_batch: int = 128, prefix_cache_bytes: int = 2**30) -> None:
        super().__init__(name, max_batch)
        self.prefixes = PrefixCache(prefix_cache_bytes)
        self.ppm = ppm
        self.reader = TransformersReader(ppm.model.base_model, head_of(ppm), self.prefixes)
        self.context = context_length(ppm.model.config, ppm.tokenizer)

    def row_of(self, state: State) -> Encoded:
        """What the model reads for `state`. Raises TreestarError if the step format gives it no ends."""
        return fitting_part(encode(self.ppm.tokenizer, self.ppm.step_format, state), self.context, self.name)

    def read(self, rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        """For each row the score at its last token, and the number of tokens that were read for it: none if its score
        was read with a row that continues it, or that is equal."""
        keyed = [list(zip(beginnings(row.ids, [end + 1 for end in row.ends]), row.ends, strict=True)) for row in rows]
        asked = [pairs[-1][0] for pairs in keyed]
        unread = unread_once(self.free_to_read(rows, keyed, set(asked)))
        outcome = values_at(self.reader, [row.ids for row in rows], [[end for _, end in pairs] for pairs in unread])
        scores: dict[bytes, float] = {}
        for pairs, (values, _) in zip(unread, outcome, strict=True):
            scores.update(zip([key for key, _ in pairs], values, strict=True))
        return [(scores[key], tokens) for key, (_, tokens) in zip(asked, outcome, strict=True)]

    def free_to_read(
        self, rows: Sequence[Encoded], keyed: Sequence[Sequence[tuple[bytes, int]]], asked: Container[bytes]
    ) -> list[list[tuple[bytes, int]]]:
        """The scores among `asked` that a row gives without more to read: those beyond its part in the cache, because
        a row is read from its first score on."""
        known = [BLOCK * len(self.prefixes.match(row.ids)) for row in rows]
        return [
            # A step without tokens has the key and the end of the step before it.
            [(key, end) for key, end in dict(pairs).items() if key in asked and end >= start]
            for pairs, start in zip(keyed, known, strict=True)
        ]


def head_of(ppm: PPM) -> Head:
    def head(hidden: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return ppm.scores_of(hidden).double()

    return head
