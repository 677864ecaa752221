"""A scorer over a process preference model, on CPU or CUDA.

The states of all running searches wait in one queue and are read in batches (`batching.py`), without the tokens that
the model has already read for their ancestors.
"""

from __future__ import annotations

from collections.abc import Sequence

from treestar.policy.backends.prefix_cache import PrefixCache, read, window_of
from treestar.policy.backends.transformers import context_length
from treestar.ppm.batching import BatchedScorer
from treestar.ppm.encoding import encode, fitting_part
from treestar.ppm.model import PPM
from treestar.types import State

__all__ = ["TransformersScorer"]


class TransformersScorer(BatchedScorer[list[int]]):
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
        self.context = context_length(ppm.model.config, ppm.tokenizer)

    def row_of(self, state: State) -> list[int]:
        """The tokens that the model reads for `state`. Raises TreestarError if the step format gives it no ends."""
        return fitting_part(encode(self.ppm.tokenizer, self.ppm.step_format, state), self.context, self.name)

    def read(self, rows: Sequence[list[int]]) -> list[tuple[float, int]]:
        """For each token sequence, the score at its last token and the number of tokens that were read for it."""
        model = self.ppm.model
        window = window_of(model.config)
        sequences = read(self.ppm.scores_of_last, rows, self.prefixes, model.device, window=window)
        scores = [float(sequence.output) for sequence in sequences]
        return [
            (score, len(row) - sequence.reused) for score, row, sequence in zip(scores, rows, sequences, strict=True)
        ]
