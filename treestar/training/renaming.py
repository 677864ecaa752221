"""The names of the `bound` format, moved by a random distance whenever a model in training meets them.

A question's numbers could as well be called n20, n21, ... as n3, n4, ...: what is right about a step does not hang on
it. A small model learns that only if it sees it; otherwise it remembers its few training problems by their names.

Distances are drawn from a generator that the caller seeds with the place in the training, so they are the same in a
training that was resumed, and however many processes share it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any

from treestar.policy.formats import StepFormat
from treestar.policy.formats.binding import NAME_COUNT
from treestar.training.ppm.batches import Batch, TokenTerm

__all__ = ["move_names", "moved_names", "name_tokens"]


def name_tokens(tokenizer: Any, step_format: StepFormat) -> range:
    """The tokens of n0, n1, ...; empty where the format has no names or the tokenizer no token for each of them."""
    if step_format.name != "bound":
        return range(0)
    tokens = tokenizer.convert_tokens_to_ids([f"n{index}" for index in range(NAME_COUNT)])
    names = range(tokens[0] or 0, (tokens[0] or 0) + NAME_COUNT)
    return names if tokens == list(names) else range(0)


def moved_names(tokens: Collection[int], names: range, random: Random) -> dict[int, int]:
    """The new token of every name: all move by one distance, which keeps those among `tokens` within the names."""
    used = [token for token in tokens if token in names]
    if not used:
        return {}
    distance = random.randrange(names.start - min(used), names.stop - max(used))
    return {name: name + distance for name in names}


def move_names(batch: Batch, names: range, random: Random) -> Batch:
    """`batch` with the names of every row moved by a distance of its own."""
    return replace(batch, rows=tuple([move_row(row, names, random) for row in batch.rows])) if names else batch


def move_row(row: tuple[TokenTerm, ...], names: range, random: Random) -> tuple[TokenTerm, ...]:
    moved = moved_names({token for term in row for state in term.states for token in state}, names, random)
    return tuple(
        [
            replace(term, states=tuple([tuple([moved.get(token, token) for token in state]) for state in term.states]))
            for term in row
        ]
    )
