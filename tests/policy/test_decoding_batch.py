"""The batch reads prompts that many rows continue apart from the others, wherever they stand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_model

from treestar.policy.backends.decoding import Continuation, DecodingBatch, number_with_many_rows
from treestar.policy.backends.shared_attention import share_prompts
from treestar.types import Sampling


@pytest.mark.parametrize(
    ("rows", "many"),
    [([3], 0), ([8, 8, 8], 0), ([8, 5, 3, 6], 0), ([1, 1, 16, 1, 1, 2], 1), ([2, 16, 1, 16, 1, 1, 2, 1], 2)],
)
def test_prompts_are_read_apart_where_that_saves_half(rows: list[int], many: int) -> None:
    assert number_with_many_rows(rows) == many


@settings(max_examples=30)
@given(
    groups=st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1, 1, 1, 2, 9])), min_size=1, max_size=8),
    leaving=st.lists(st.integers(0, 50), max_size=12),
    seed=st.integers(0, 1000),
)
def test_a_row_gets_the_same_logits_in_every_company(
    groups: list[tuple[int, int]], leaving: list[int], seed: int
) -> None:
    model, _ = tiny_model()
    share_prompts(model, "tiny")
    generator = torch.Generator().manual_seed(seed)
    batch: DecodingBatch[Continuation] = DecodingBatch(model)
    prompts: dict[int, torch.Tensor] = {}
    for length, count in groups:
        keys_values = torch.randn(2, 2, 4, length, 16, generator=generator)
        rows = [row_of(length, token) for token in range(5, 5 + count)]
        batch.join(rows, keys_values)
        prompts.update((id(row), keys_values) for row in rows)
    batch.step()
    for row in batch.rows:
        row.tokens.append(7)
    for place in leaving:
        if len(batch.rows) > 1:
            batch.leave(batch.rows[place % len(batch.rows)])
    together = batch.step()
    assert [prompt.place for prompt in batch.prompts] == list(range(len(batch.prompts)))
    for row in batch.rows:
        alone: DecodingBatch[Continuation] = DecodingBatch(model)
        twin = row_of(row.prompt, row.tokens[-2])
        alone.join([twin], prompts[id(row)])
        alone.step()
        twin.tokens.append(7)
        torch.testing.assert_close(together[row.row], alone.step()[0], atol=1e-4, rtol=1e-4)


def row_of(length: int, token: int) -> Continuation:
    return Continuation([5] * length + [token], length, Sampling(max_tokens=8), [])
