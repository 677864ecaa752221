"""The scorer over a public reward model, for all conventions.

A score depends only on the tokens up to its position. So it is kept, and a state is read only from its first score that
is not known yet, with the keys and values of what comes before from the shared-prefix cache: of a child, its new step.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import ClassVar

from treestar.ppm.batching import BatchedScorer
from treestar.ppm.public.aggregate import Aggregate, aggregated
from treestar.ppm.public.convention import Convention, MarkedText
from treestar.ppm.public.texts import step_texts
from treestar.ppm.reading import Reader, beginnings, unread_once, values_at
from treestar.types import State

__all__ = ["PublicScorer"]

SCORES_REMEMBERED = 200_000

ScoreKey = tuple[bytes, int]
"""The digest of everything that a score depends on, and where its span begins."""


class PublicScorer(BatchedScorer[MarkedText]):
    """Implements `treestar.types.Scorer`. A state's value is the aggregate of its steps' scores (`aggregate.py`).

    A blank step is not scored, and a state without steps has the value 0. A state that exceeds the model's
    context scores as the longest part of it that fits, in whole steps.

    Args:
        convention: how the model is read.
        readers: the model; for an implicit PRM also its reference, second.
        context: the most tokens that the model reads.
        aggregate: None for the convention's own.
    """

    of_paths: ClassVar[bool] = True

    def __init__(
        self,
        convention: Convention,
        readers: Sequence[Reader],
        context: int,
        aggregate: Aggregate | None = None,
        max_batch: int = 128,
    ) -> None:
        self.convention = convention
        self.readers = readers
        self.context = context
        self.aggregate: Aggregate = aggregate or convention.aggregate
        self.known: OrderedDict[ScoreKey, float] = OrderedDict()
        """Raw values, least recently used first."""
        # Results are resumed by this name, and depend on both.
        super().__init__(f"{convention.checkpoint.name} ({convention.kind}, {self.aggregate})", max_batch)

    def row_of(self, state: State) -> MarkedText:
        """The state as the model reads it. Raises TreestarError if the model's convention cannot write it."""
        steps = [text for text in step_texts(state) if text]
        while steps:
            row = self.convention.marked(state.problem.question, steps)
            if len(row) <= self.context:
                return row
            steps.pop()
            message = (
                f"some states exceed the {self.context} tokens of {self.name}'s context: the steps that fit are scored"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return MarkedText([], [])

    def read(self, rows: Sequence[MarkedText]) -> list[tuple[float, int]]:
        """For each row its value, and the number of tokens that were read for it by all models."""
        keyed = [list(zip(self.keys_of(row), row.spans, strict=True)) for row in rows]
        found = self.recall([key for pairs in keyed for key, _ in pairs])
        unread = unread_once(keyed, found)
        places = [[place for _, span in pairs for place in span] for pairs in unread]
        values, tokens = self.raw_values(rows, places)
        for pairs, of_row in zip(unread, values, strict=True):
            left = iter(of_row)
            for key, span in pairs:
                found[key] = sum([next(left) for _ in span])
        self.remember(found)
        scores = [self.convention.probabilities([found[key] for key, _ in pairs]) for pairs in keyed]
        return [(aggregated(of_row, self.aggregate), count) for of_row, count in zip(scores, tokens, strict=True)]

    def raw_values(
        self, rows: Sequence[MarkedText], places: Sequence[list[int]]
    ) -> tuple[Sequence[list[float]], Sequence[int]]:
        """The raw values at `places` of each row, and the number of tokens that were read for it. Rows without places
        are not read."""
        values = [[0.0] * len(of_row) for of_row in places]
        tokens = [0] * len(rows)
        ids = [row.ids for row in rows]
        # An implicit PRM's reward is the difference of the two models' log-probabilities.
        for reader, sign in zip(self.readers, (1.0, -1.0), strict=False):
            outcome = values_at(reader, ids, places, self.convention.reads_next)
            for index, (of_row, count) in enumerate(outcome):
                values[index] = [before + sign * each for before, each in zip(values[index], of_row, strict=True)]
                tokens[index] += count
        return values, tokens

    def keys_of(self, row: MarkedText) -> list[ScoreKey]:
        """What each score of `row` depends on."""
        ends = [span.stop + self.convention.reads_next for span in row.spans]
        starts = [span.start for span in row.spans]
        return list(zip(beginnings(row.ids, ends), starts, strict=True))

    def recall(self, keys: Sequence[ScoreKey]) -> dict[ScoreKey, float]:
        """Those of the raw values that are known."""
        found = {key: self.known[key] for key in keys if key in self.known}
        for key in found:
            self.known.move_to_end(key)
        return found

    def remember(self, found: Mapping[ScoreKey, float]) -> None:
        """Keep raw values, at most SCORES_REMEMBERED."""
        self.known.update(found)
        while len(self.known) > SCORES_REMEMBERED:
            self.known.popitem(last=False)
