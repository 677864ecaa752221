"""Batches of prefix trees: one forward pass reads every state of a batch, and shared prefixes only once.

A state's tokens are a prefix of those of every state that continues it, so the states of a search tree form a prefix
tree. The tree is laid out in one row: each token sees only the tokens on its path from the root, and its position is
its depth, so every state gets the same score as when it is read separately.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from treestar.policy.models import text_config
from treestar.ppm.model import PPM
from treestar.types import TreestarError

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "PrefixTree", "TokenTerm", "collate", "make_batches", "prefix_tree", "term_logits"]

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenTerm:
    """A term of the loss with its states as tokens; see `objectives.Term`."""

    problem: str
    states: tuple[Tokens, ...]
    target: float
    weight: float


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """Token sequences with their common prefixes merged; every token comes after its parent."""

    tokens: list[int]
    parents: list[int]
    """The index of the token before it, -1 for the first of a sequence."""
    positions: list[int]
    """The number of tokens before it in its sequence."""
    end_of: dict[Tokens, int]
    """The index of each sequence's last token."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Terms that are trained together."""

    rows: tuple[tuple[TokenTerm, ...], ...]
    """Each row's terms; they belong to one problem and share most of their tokens."""
    lengths: tuple[int, ...]
    """Number of tokens in each row."""

    @property
    def terms(self) -> list[TokenTerm]:
        return [term for row in self.rows for term in row]

    @property
    def tokens(self) -> int:
        """Number of tokens that are read, without padding."""
        return sum(self.lengths)

    @property
    def padded_tokens(self) -> int:
        return len(self.lengths) * max(self.lengths)


def make_batches(terms: Iterable[TokenTerm], batch_tokens: int, seed: int) -> list[Batch]:
    """All terms, each once, in batches of at most `batch_tokens` tokens, including padding (one term can be longer).

    Weights are scaled so that their sum is 1 in a batch on average: the mean loss of the batches is the weighted mean
    over all terms.
    """
    by_problem: dict[str, list[TokenTerm]] = {}
    for term in terms:
        by_problem.setdefault(term.problem, []).append(term)
    rows = [
        row
        for together in by_problem.values()
        for row in split(sorted(together, key=lambda term: term.states), batch_tokens)
    ]
    random = Random(seed)
    # Rows of similar length need little padding; the random factor mixes different kinds of problems.
    rows.sort(key=lambda row: row[0] * random.uniform(0.9, 1.1))
    batches = list(packed(rows, batch_tokens))
    mean = sum(term.weight for batch in batches for term in batch.terms) / max(1, len(batches))
    return [
        replace(
            batch, rows=tuple([tuple([replace(term, weight=term.weight / mean) for term in row]) for row in batch.rows])
        )
        for batch in batches
    ]


Row = tuple[int, tuple[TokenTerm, ...]]
"""The number of a row's tokens, and the terms that are read in it."""


def split(terms: Sequence[TokenTerm], batch_tokens: int) -> Iterator[Row]:
    """A problem's terms, halved repeatedly until each part fits into a batch."""
    tokens = len(tree_of(terms).tokens)
    if len(terms) == 1 or tokens <= batch_tokens:
        yield tokens, tuple(terms)
        return
    middle = len(terms) // 2
    yield from split(terms[:middle], batch_tokens)
    yield from split(terms[middle:], batch_tokens)


def packed(rows: Iterable[Row], batch_tokens: int) -> Iterator[Batch]:
    """Groups of neighboring rows that fit into a batch."""
    batch: list[Row] = []
    for row in rows:
        longest = max(length for length, _ in [*batch, row])
        if batch and (len(batch) + 1) * longest > batch_tokens:
            yield batch_of(batch)
            batch = []
        batch.append(row)
    if batch:
        yield batch_of(batch)


def batch_of(rows: Iterable[Row]) -> Batch:
    lengths, terms = zip(*rows, strict=True)
    return Batch(terms, lengths)


def tree_of(terms: Iterable[TokenTerm]) -> PrefixTree:
    return prefix_tree(state for term in terms for state in term.states)


def prefix_tree(sequences: Iterable[Tokens]) -> PrefixTree:
    """The prefix tree of non-empty token sequences."""
    tree = PrefixTree([], [], [], {})
    latest: Tokens = ()
    path: list[int] = []
    """Indices of the tokens of `latest`."""
    for sequence in sorted(set(sequences)):  # sequences with a common prefix are neighbors in this order
        del path[shared_length(latest, sequence) :]
        for position in range(len(path), len(sequence)):
            tree.parents.append(path[-1] if path else -1)
            tree.positions.append(position)
            path.append(len(tree.tokens))
            tree.tokens.append(sequence[position])
        tree.end_of[sequence] = path[-1]
        latest = sequence
    return tree


def shared_length(first: Tokens, second: Tokens) -> int:
    differing = (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differing, min(len(first), len(second)))


def collate(batch: Batch, padding: int) -> dict[str, torch.Tensor]:
    """A batch as tensors.

    Returns:
        input_ids: the tokens of the rows' prefix trees, padded on the right, shape (rows, columns).
        position_ids: the same shape.
        attention_mask: which columns each column sees, boolean, shape (rows, 1, columns, columns).
        ends: the columns that are scored in each row, padded with 0, shape (rows, places).
        places: the index in the flattened `ends` of each state of a term, shape (terms, states of a term).
        targets, weights: of each term, shape (terms,).
    """
    import torch

    trees = [tree_of(row) for row in batch.rows]
    columns, width = max(batch.lengths), max(len(tree.end_of) for tree in trees)
    ids = torch.full((len(trees), columns), padding)
    positions = torch.zeros_like(ids)
    # Padding sees only itself: softmax over nothing would be NaN.
    sees = torch.eye(columns, dtype=torch.bool).repeat(len(trees), 1, 1)
    ends = torch.zeros(len(trees), width, dtype=torch.long)
    places = []
    for index, (tree, terms) in enumerate(zip(trees, batch.rows, strict=True)):
        ids[index, : len(tree.tokens)] = torch.tensor(tree.tokens)
        positions[index, : len(tree.tokens)] = torch.tensor(tree.positions)
        ends[index, : len(tree.end_of)] = torch.tensor(list(tree.end_of.values()))
        for column, parent in enumerate(tree.parents):
            if parent >= 0:
                sees[index, column] |= sees[index, parent]
        place_of = {state: index * width + place for place, state in enumerate(tree.end_of)}
        places += [[place_of[state] for state in term.states] for term in terms]
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": sees[:, None],
        "ends": ends,
        "places": torch.tensor(places),
        "targets": torch.tensor([term.target for term in batch.terms]),
        "weights": torch.tensor([term.weight for term in batch.terms]),
    }


def term_logits(ppm: PPM, inputs: dict[str, torch.Tensor], forward: Any = None) -> torch.Tensor:
    """The scores before tanh of every state of every term, shape (terms, states of a term).

    Args:
        inputs: as `collate` returns them, on the model's device.
        forward: the model as training wraps it; None: the model itself.

    Raises:
        TreestarError: the model's attention does not accept masks of this kind.
    """
    attention = ppm.model.config._attn_implementation
    if attention != "sdpa":
        raise TreestarError(f"reading whole trees needs a model with `sdpa` attention, not {attention!r}")
    positions = inputs["position_ids"]
    masks = masks_for(text_config(ppm.model.config), inputs["attention_mask"], positions)
    logits = ppm.logits(inputs["input_ids"], masks, inputs["ends"], forward, positions)
    return (logits / ppm.scale).flatten()[inputs["places"]]


def masks_for(config: Any, sees: torch.Tensor, positions: torch.Tensor) -> Any:
    """`sees` as a model with this configuration takes it. It does not apply its sliding window to a mask that it is
    given, so a mask for layers with one ends there.

    Raises:
        TreestarError: the model has layers that no mask keeps from reading other branches.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    others = ", ".join(sorted(kinds - {"full_attention", "sliding_attention"}))
    if others:
        raise TreestarError(f"reading whole trees needs a model all of whose layers take masks, and this has {others}")
    window = getattr(config, "sliding_window", None)
    if window is None or (kinds and "sliding_attention" not in kinds):
        return sees
    within = sees & (positions[:, :, None] - positions[:, None] < window)[:, None]
    return {"full_attention": sees, "sliding_attention": within} if kinds else within
