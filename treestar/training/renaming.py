"""Shifts interchangeable tokens by a random distance whenever a model in training reads them.

If a step format has interchangeable names (`StepFormat.interchangeable_tokens`), the correctness of a step does not
depend on which of them it uses. A small model learns that only by example; otherwise it recognizes its few training
problems by their names.

Distances are drawn from a generator that the caller seeds with the position in the training, so they are the same in a
resumed training and for any number of processes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random

from treestar.training.ppm.batches import Batch, TokenTerm

__all__ = ["move_names", "moved_names"]


def moved_names(tokens: Collection[int], names: range, random: Random) -> dict[int, int]:
    """The new token of every name: all shift by one distance, which keeps those in `tokens` within the names."""
    used = [token for token in tokens if token in names]
    if not used:
        return {}
    distance = random.randrange(names.start - min(used), names.stop - max(used))
    return {name: name + distance for name in names}


def move_names(batch: Batch, names: range, random: Random) -> Batch:
    """`batch` with the names of every row shifted by its own distance."""
    return replace(batch, rows=tuple([move_row(row, names, random) for row in batch.rows])) if names else batch


def move_row(row: tuple[TokenTerm, ...], names: range, random: Random) -> tuple[TokenTerm, ...]:
    moved = moved_names({token for term in row for state in term.states for token in state}, names, random)
    return tuple(
        [
            replace(term, states=tuple([tuple([moved.get(token, token) for token in state]) for state in term.states]))
            for term in row
        ]
    )
