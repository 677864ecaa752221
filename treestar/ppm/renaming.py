"""The names of the `bound` format, moved by a random distance whenever a PPM in training meets them.

A question's numbers could as well be called n20, n21, ... as n3, n4, ...: what is right about a step does not hang on
it. A small model learns that only if it sees it; otherwise it remembers its few training problems by their names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from treestar.policy.binding import NAME_COUNT
from treestar.policy.format import StepFormat
from treestar.ppm.batches import Batch, TokenTerm

__all__ = ["move_names", "name_tokens"]


def name_tokens(tokenizer: Any, step_format: StepFormat) -> range:
    """The tokens of n0, n1, ...; empty where the format has no names or the tokenizer no token for each of them."""
    if step_format.name != "bound":
        return range(0)
    tokens = tokenizer.convert_tokens_to_ids([f"n{index}" for index in range(NAME_COUNT)])
    names = range(tokens[0] or 0, (tokens[0] or 0) + NAME_COUNT)
    return names if tokens == list(names) else range(0)


def move_names(batch: Batch, names: range) -> Batch:
    """`batch` with the names of every row moved by a distance that is drawn with torch's generator, which a resumed
    training restores."""
    return replace(batch, rows=tuple([move_row(row, names) for row in batch.rows])) if names else batch


def move_row(row: tuple[TokenTerm, ...], names: range) -> tuple[TokenTerm, ...]:
    import torch

    used = [token for term in row for state in term.states for token in state if token in names]
    if not used:
        return row
    distance = int(torch.randint(names.start - min(used), names.stop - max(used), ()))
    moved = {name: name + distance for name in names}
    return tuple(
        [
            replace(term, states=tuple([tuple([moved.get(token, token) for token in state]) for state in term.states]))
            for term in row
        ]
    )
