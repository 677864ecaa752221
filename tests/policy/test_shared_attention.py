"""Attention over shared prompts equals attention over each row's own copy of its prompt."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.policy.backends.shared_attention import SharedPrompts, attention, share_prompts
from treestar.types import TreestarError

WIDTH = 8


@settings(max_examples=60)
@given(
    prompts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=7),
    shared_heads=st.sampled_from([1, 2]),
    softcap=st.sampled_from([None, 5.0]),
    window=st.sampled_from([None, 1, 3, 8]),
    split=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_a_prompt_read_once_is_a_prompt_read_by_every_row(
    prompts: list[int],
    rows: list[tuple[int, int]],
    shared_heads: int,
    softcap: float | None,
    window: int | None,
    split: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    heads, columns = 2, max(known for _, known in rows) + 1

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    places = torch.tensor([place % len(prompts) for place, _ in rows])
    of_prompts = random(3, 2, len(prompts), heads, max(prompts), WIDTH)
    keys, values = random(2, len(rows), heads, columns, WIDTH)
    query = random(len(rows), heads * shared_heads, 1, WIDTH)
    known = torch.tensor([known for _, known in rows])
    mask = (torch.arange(columns) <= known[:, None])[:, None, None]

    def part(first: int, last: int) -> SharedPrompts:
        of_rows = [(row, place - first) for row, place in enumerate(places.tolist()) if first <= place < last]
        lengths = prompts[first:last]
        keys_values = of_prompts[:, :, first:last, :, : max(lengths)]
        return SharedPrompts.of([row for row, _ in of_rows], keys_values, lengths, [place for _, place in of_rows])

    bounds = itertools.pairwise(sorted({0, min(split, len(prompts)), len(prompts)}))
    shared = [part(*each) for each in bounds if any(place in range(*each) for place in places.tolist())]
    more = {"softcap": softcap, "sliding_window": window}
    found, _ = attention(SimpleNamespace(layer_idx=1), query, keys, values, mask, shared_prompts=shared, **more)
    for row, place in enumerate(places):
        own_keys, own_values = (
            torch.cat([of_prompts[1, which, place, :, : prompts[place]], own[row, :, : known[row] + 1]], dim=1)[
                :, -(window or 0) :
            ]
            for which, own in ((0, keys), (1, values))
        )
        for head in range(heads * shared_heads):
            logits = query[row, head] @ own_keys[head // shared_heads].T * WIDTH**-0.5
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            expected = logits.softmax(-1) @ own_values[head // shared_heads]
            assert found[row, 0, head].tolist() == pytest.approx(expected[0].tolist(), abs=1e-4)


def test_models_whose_attention_would_be_computed_wrongly_are_refused() -> None:
    from transformers import GptOssConfig, GptOssForCausalLM, Lfm2Config, Lfm2ForCausalLM

    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    experts = {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "pad_token_id": 0}
    with pytest.raises(TreestarError, match=r"GptOssForCausalLM has attention sinks.*; use vllm:tiny"):
        share_prompts(GptOssForCausalLM(GptOssConfig(**sizes, **heads, **experts)), "tiny")
    layers = {"layer_types": ["conv", "full_attention"], "pad_token_id": 0}
    with pytest.raises(TreestarError, match=r"Lfm2ForCausalLM has layers of conv.*; use vllm:tiny"):
        share_prompts(Lfm2ForCausalLM(Lfm2Config(**sizes, **heads, **layers)), "tiny")
