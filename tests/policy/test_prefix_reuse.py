"""Reuse of earlier reads changes only the amount of work: the prefix cache, the continuous batch, `generate`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_model

from treestar.policy import RStarFormat, TransformersPolicy, load_policy
from treestar.policy.backends.prefix_cache import (
    BLOCK,
    TOKENS_OF_A_PASS,
    PrefixCache,
    batches_of,
    parts_of,
    read,
    window_of,
)
from treestar.policy.backends.transformers import context_length
from treestar.types import Execution, Problem, Proposal, Sampling, State, Step

LAYERS, HEADS, WIDTH = 2, 2, 4
BLOCK_BYTES = LAYERS * 2 * HEADS * BLOCK * WIDTH * 4

short_sequences = st.lists(st.integers(0, 2), min_size=1, max_size=5 * BLOCK)


def marked(tokens: list[int]) -> torch.Tensor:
    """Keys and values that identify each token, its position and its prefix: the sum of all tokens up to each place."""
    sums = torch.tensor(tokens, dtype=torch.float32).cumsum(0)
    return sums[None, None, None, :, None].expand(LAYERS, 2, HEADS, len(tokens), WIDTH)


@settings(max_examples=200)
@given(st.lists(short_sequences, min_size=1, max_size=12), st.integers(1, 6))
def test_the_cache_gives_back_what_was_stored_and_stays_within_its_bytes(
    sequences: list[list[int]], blocks: int
) -> None:
    cache = PrefixCache(blocks * BLOCK_BYTES + 1)
    for tokens in sequences:
        cache.store(tokens, marked(tokens))
        assert len(cache.places) <= blocks
        assert len(set(cache.places.values())) == len(cache.places)
        for other in sequences:
            match = cache.match(other)
            assert len(match) * BLOCK < len(other)
            if match:
                length = len(match) * BLOCK
                assert torch.equal(cache.gather([match])[:, :, 0], marked(other)[:, :, :, :length])
        stored = min(len(tokens) // BLOCK, blocks)
        assert len(cache.match([*tokens[: stored * BLOCK], 1])) == stored, "what came last is there"


def test_the_least_recently_used_block_gives_way() -> None:
    cache = PrefixCache(2 * BLOCK_BYTES)
    first, second, third = ([number] * BLOCK for number in range(3))
    cache.store(first, marked(first))
    cache.store(second, marked(second))
    assert cache.match([*first, 0])
    cache.store(third, marked(third))
    assert [len(cache.match([*tokens, 0])) for tokens in (first, second, third)] == [1, 0, 1]


def test_blocks_that_could_not_be_stored_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PrefixCache(4 * BLOCK_BYTES)
    first, second = ([number] * BLOCK for number in range(2))
    cache.store(first, marked(first))

    class Full:
        def __setitem__(self, places: object, blocks: object) -> None:
            raise torch.OutOfMemoryError("scripted")

    monkeypatch.setattr(cache, "blocks", Full())
    with pytest.raises(torch.OutOfMemoryError):
        cache.store(second, marked(second))
    assert cache.match([*second, 0]) == []


def test_context_and_window_of_a_model_that_also_sees_images() -> None:
    from transformers import Gemma3Config

    config = Gemma3Config(text_config={"max_position_embeddings": 4096, "sliding_window": 64})
    assert context_length(config, None) == 4096
    assert window_of(config) == 64


def model_forward(model: Any) -> Any:
    return lambda **inputs: model(**inputs, use_cache=True).logits


@pytest.mark.parametrize("columns", [1, 150, 10_000])
@pytest.mark.parametrize("window", [None, 40, 96])
def test_outputs_at_positions_and_windows_of_attention(window: int | None, columns: int) -> None:
    """Outputs that are wanted within a known part are read again; a window that a row's masked columns would use up
    changes nothing."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=64, **sizes, num_key_value_heads=1, initializer_range=0.3, sliding_window=window)
    model = MistralForCausalLM(config).eval()
    assert window_of(model.config) == window
    cache = PrefixCache(2**22)
    long = torch.randint(5, 60, (90,)).tolist()
    stages = [
        [(long[:50], [20, 49])],
        [(long[:61], [60]), (long[5:90], [3, 84]), (long[:50], [0, 10, 49])],
        [(long, [70, 89]), (long[:62], [61]), (long[5:52], [46]), (long[:3], [2])],
    ]
    for stage in stages:
        sequences, positions = [ids for ids, _ in stage], [places for _, places in stage]
        found = read(model_forward(model), sequences, cache, model.device, columns, positions, window)
        for ids, places, outcome in zip(sequences, positions, found, strict=True):
            with torch.inference_mode():
                plain = model(torch.tensor([ids])).logits[0]
            assert torch.allclose(outcome.output, plain[places], atol=1e-4)
            assert outcome.reused <= places[0]


@pytest.mark.parametrize("columns", [1, 150, 10_000])
@pytest.mark.parametrize("cache_bytes", [2**22, 0], ids=["cached", "without room"])
def test_a_sequence_read_in_parts_reads_as_a_whole(cache_bytes: int, columns: int) -> None:
    """Rows of different known and unknown lengths in one pass give the logits of a plain pass over each."""
    model, _ = tiny_model()
    cache = PrefixCache(cache_bytes)
    generator = torch.Generator().manual_seed(0)
    long = torch.randint(5, 60, (90,), generator=generator).tolist()
    stages = [[long[:30]], [long[:61], long[:33], long[5:50]], [long, long[:62], long[5:52], long[:3]]]
    for sequences in stages:
        found = read(model_forward(model), sequences, cache, model.device, columns)
        for sequence, outcome in zip(sequences, found, strict=True):
            with torch.inference_mode():
                plain = model(torch.tensor([sequence]), use_cache=True)
            assert torch.allclose(outcome.output, plain.logits[0, -1], atol=1e-4)
            keys = plain.past_key_values.layers[1].keys[0]
            assert outcome.keys_values.shape[3] == len(sequence)
            assert torch.allclose(outcome.keys_values[1, 0], keys, atol=1e-4)
    assert (cache.reused_tokens > 0) == (cache_bytes > 0)
    assert cache.reused_tokens + cache.read_tokens == sum(len(sequence) for stage in stages for sequence in stage)


def propose(policy: TransformersPolicy, *requests: tuple[State, int, Sampling, int]) -> list[Proposal]:
    async def together() -> list[Proposal]:
        return await asyncio.gather(*(policy.propose(*request) for request in requests))

    return asyncio.run(together())


def test_greedy_is_what_generate_gives() -> None:
    """On the toy model, with more prompts than rows, so that some join while others run."""
    policy = load_policy("toy", dtype="float32", max_batch=3)
    questions = [
        "What is 12 + 2?",
        "Calculate 3 - 4 + 5 - 6 + 7",
        "How many legs do 3 dogs and 2 hens have?",
        "5 * 6 = ",
    ]
    states = [State(Problem(question)) for question in questions]
    proposals = propose(policy, *[(state, 1, Sampling(temperature=0.0, max_tokens=40), 0) for state in states])
    for state, proposal in zip(states, proposals, strict=True):
        ids = policy.tokenizer(policy.format.prompt(state), add_special_tokens=False, return_tensors="pt")["input_ids"]
        stops = list(policy.format.stop_strings(state))
        plain = policy.model.generate(
            ids, do_sample=False, max_new_tokens=40, stop_strings=stops, tokenizer=policy.tokenizer
        )[0, ids.shape[1] :].tolist()
        end = policy.model.generation_config.eos_token_id
        expected = policy.format.parse(state, policy.tokenizer.decode([each for each in plain if each != end]), False)
        assert (proposal.steps[0].text, proposal.steps[0].tokens) == (expected.text, len(plain))


def test_a_sliding_window_limits_attention_and_not_the_context() -> None:
    """Prompts and replies longer than the window, of different lengths in one batch, are those of `generate`."""
    from transformers import MistralConfig, MistralForCausalLM

    _, tokenizer = tiny_model()
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    more = {"max_position_embeddings": 512, "eos_token_id": tokenizer.eos_token_id, "initializer_range": 0.3}
    config = MistralConfig(vocab_size=len(tokenizer), **sizes, **more, num_key_value_heads=1, sliding_window=16)
    policy = TransformersPolicy(MistralForCausalLM(config).eval(), tokenizer, RStarFormat(), "windowed")
    assert policy.context == 512
    states = [State(Problem(question)) for question in ("How much is 7 times 8, and why?", "1 + 1?", "What is 12 + 2?")]
    proposals = propose(policy, *[(state, 1, Sampling(temperature=0.0, max_tokens=40), 0) for state in states])
    plain_model = MistralForCausalLM(config)
    plain_model.load_state_dict(policy.model.state_dict())
    for state, proposal in zip(states, proposals, strict=True):
        ids = tokenizer(policy.format.prompt(state), add_special_tokens=False, return_tensors="pt")["input_ids"]
        assert ids.shape[1] > 2 * config.sliding_window
        plain = plain_model.generate(ids, do_sample=False, max_new_tokens=40)[0, ids.shape[1] :].tolist()
        text = tokenizer.decode([each for each in plain if each != tokenizer.eos_token_id])
        assert policy.format.parse(state, text, False).text == proposal.steps[0].text


def test_siblings_and_children_read_only_what_is_new_and_say_the_same() -> None:
    model, tokenizer = tiny_model()
    sampling = Sampling(max_tokens=30)
    parent = State(Problem("How much is 1234567 times 7654321, and why?"))
    step = Step("# multiply\nx = 1234567 * 7654321", "x = 1234567 * 7654321", "step")
    child = State(parent.problem, (step,), (Execution(),))
    warm = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny")
    cold = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny", prefix_cache_bytes=0)
    requests = [(parent, 6, sampling, 1), (child, 6, sampling, 2), (child, 6, sampling, 3)]
    for request in requests:
        [first], [second] = propose(warm, request), propose(cold, request)
        assert [each.text for each in first.steps] == [each.text for each in second.steps]
    prompts = [len(tokenizer(RStarFormat().prompt(state))["input_ids"]) for state in (parent, child, child)]
    assert cold.generator.prefixes.reused_tokens == 0
    assert cold.generator.prefixes.read_tokens == sum(prompts), "siblings share one reading of their prompt"
    shared = prompts[0] // BLOCK * BLOCK + (prompts[1] - 1) // BLOCK * BLOCK
    assert warm.generator.prefixes.reused_tokens == shared
    assert warm.generator.prefixes.read_tokens == sum(prompts) - shared


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 120), st.data())
def test_what_is_read_together_fits(lengths: list[int], columns: int, data: st.DataObject) -> None:
    sequences = [[0] * length for length in lengths]
    parts = list(parts_of(sequences, columns))
    assert [sequence for part in parts for sequence in sequences[part]] == sequences
    assert all(sum(map(len, sequences[part])) <= columns or part.stop - part.start == 1 for part in parts)

    known = [data.draw(st.integers(0, 60)) for _ in lengths]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    groups = list(batches_of(order, lengths, known, columns))
    assert [row for group in groups for row in group] == order
    for group in groups:
        padding = sum(lengths[group[-1]] - lengths[row] for row in group)
        assert padding <= TOKENS_OF_A_PASS * len(group)
        widest = max(known[row] for row in group) + max(lengths[row] for row in group)
        assert len(group) * widest <= columns or len(group) == 1


def test_a_long_sequence_does_not_pad_many_short_ones() -> None:
    unread = [10] * 20 + [200, 210]
    assert list(batches_of(range(22), unread, [0] * 22, 10**6)) == [list(range(20)), [20, 21]]
