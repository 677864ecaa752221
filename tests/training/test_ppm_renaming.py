"""Names shifted in training: each row by one offset, and nothing else changes."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_model

from treestar.policy import load_policy
from treestar.policy.formats import BoundFormat, RStarFormat
from treestar.policy.formats.binding import NAME_COUNT
from treestar.training.ppm.batches import Batch, TokenTerm
from treestar.training.renaming import move_names

NAMES = range(100, 100 + NAME_COUNT)
tokens = st.lists(st.one_of(st.integers(0, 99), st.integers(100, 112), st.integers(140, 150)), min_size=1, max_size=9)
terms = st.builds(
    TokenTerm,
    problem=st.just("p"),
    states=st.tuples(tokens.map(tuple), tokens.map(tuple)),
    target=st.just(1.0),
    weight=st.just(1.0),
)


@settings(max_examples=200)
@given(rows=st.lists(st.lists(terms, min_size=1, max_size=3), min_size=1, max_size=3), seed=st.integers(0, 2**31))
def test_a_row_moves_as_one_and_stays_within_the_names(rows: list[list[TokenTerm]], seed: int) -> None:
    batch = Batch(tuple(map(tuple, rows)), tuple(1 for _ in rows))
    moved = move_names(batch, NAMES, Random(seed))
    for before, after in zip(batch.rows, moved.rows, strict=True):
        pairs = [
            (old, new)
            for one, other in zip(before, after, strict=True)
            for state, changed in zip(one.states, other.states, strict=True)
            for old, new in zip(state, changed, strict=True)
        ]
        assert all(old == new for old, new in pairs if old not in NAMES)
        assert all(new in NAMES for old, new in pairs if old in NAMES)
        assert len({new - old for old, new in pairs if old in NAMES}) <= 1
    assert move_names(batch, NAMES, Random(seed)) == moved


def test_rows_move_to_different_places_and_reach_both_ends() -> None:
    row = (TokenTerm("p", ((103, 5, 104),), 1.0, 1.0),)
    moved = move_names(Batch((row,) * 2000, (3,) * 2000), NAMES, Random(0))
    assert {moved_row[0].states[0][0] for moved_row in moved.rows} == set(range(100, 139))


def test_only_the_bound_format_has_names_to_move() -> None:
    toy = load_policy("toy").tokenizer
    names = BoundFormat().interchangeable_tokens(toy)
    assert toy.convert_ids_to_tokens(list(names)) == [f"n{index}" for index in range(NAME_COUNT)]
    assert not RStarFormat().interchangeable_tokens(toy)
    assert not BoundFormat().interchangeable_tokens(tiny_model()[1])
