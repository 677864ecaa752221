"""Batches of prefix trees: shared prefixes are read once, and every state has the score it has alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import save_tiny_model, tiny_model

from treestar.ppm.model import PPM, ppm_from_policy
from treestar.training.ppm.batches import TokenTerm, collate, make_batches, prefix_tree, term_logits
from treestar.types import TreestarError

sequences = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12)
terms = st.builds(
    TokenTerm,
    st.sampled_from("abc"),
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6).map(tuple), min_size=2, max_size=2).map(tuple),
    st.just(0.0),
    st.floats(0.1, 2.0),
)


@pytest.fixture(scope="module")
def ppm(tmp_path_factory: pytest.TempPathFactory) -> PPM:
    """A tiny PPM whose head is random, so that states differ in score."""
    ppm = ppm_from_policy(str(save_tiny_model(tmp_path_factory.mktemp("tiny"))))
    torch.manual_seed(0)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.3)
    ppm.model.eval()
    return ppm


@given(sequences)
def test_a_prefix_tree_holds_every_beginning_once(found: list[tuple[int, ...]]) -> None:
    tree = prefix_tree(found)
    assert len(tree.tokens) == len({sequence[:end] for sequence in found for end in range(1, len(sequence) + 1)})
    assert set(tree.end_of) == set(found)
    for sequence, place in tree.end_of.items():
        read: list[int] = []
        while place >= 0:
            assert tree.positions[place] == len(sequence) - 1 - len(read)
            assert tree.parents[place] < place
            read.append(tree.tokens[place])
            place = tree.parents[place]
        assert tuple(reversed(read)) == sequence


@given(st.lists(terms, max_size=12), st.integers(1, 40), st.integers(0, 2))
def test_every_term_is_in_one_batch_of_the_wanted_size(found: list[TokenTerm], batch_tokens: int, seed: int) -> None:
    batches = make_batches(found, batch_tokens, seed)
    assert batches == make_batches(found, batch_tokens, seed)
    placed = [(term.problem, term.states) for batch in batches for term in batch.terms]
    assert sorted(placed) == sorted((term.problem, term.states) for term in found)
    for batch in batches:
        assert batch.padded_tokens <= batch_tokens or len(batch.terms) == 1
        assert batch.tokens == sum(
            len(prefix_tree(s for term in row for s in term.states).tokens) for row in batch.rows
        )
    if batches:
        total = sum(term.weight for batch in batches for term in batch.terms)
        assert total == pytest.approx(len(batches))
        # Weights keep their ratios.
        before = sorted(term.weight / sum(each.weight for each in found) for term in found)
        assert sorted(term.weight / total for batch in batches for term in batch.terms) == pytest.approx(before)


def test_what_continues_a_state_is_read_with_it() -> None:
    [batch] = make_batches(
        [TokenTerm("a", ((1, 2), (1, 2, 3, 4)), 0.0, 1.0), TokenTerm("a", ((1, 5),), 0.0, 1.0)], 99, 0
    )
    assert batch.tokens == 5


@settings(max_examples=30)
@given(found=st.lists(st.lists(st.integers(10, 14), min_size=1, max_size=12).map(tuple), min_size=1, max_size=10))
def test_a_state_scores_as_it_does_alone(ppm: PPM, found: list[tuple[int, ...]]) -> None:
    for batch in make_batches([TokenTerm("a", (sequence,), 0.0, 1.0) for sequence in found], 40, 0):
        with torch.no_grad():
            together = term_logits(ppm, collate(batch, 0))[:, 0].tolist()
            alone = [logit_alone(ppm, term.states[0]).item() for term in batch.terms]
        assert together == pytest.approx(alone, abs=1e-4)


def logit_alone(ppm: PPM, sequence: tuple[int, ...]) -> torch.Tensor:
    ids = torch.tensor([sequence])
    return ppm.logits(ids, torch.ones_like(ids), torch.tensor([[len(sequence) - 1]]))[0, 0]


def test_gradients_are_those_of_reading_each_state_alone(ppm: PPM) -> None:
    found = [TokenTerm("a", ((10, 11, 12), (10, 13)), 0.0, 1.0), TokenTerm("b", ((10, 11), (14, 11)), 0.0, 1.0)]
    [batch] = make_batches(found, 99, 0)

    def gradient(logits: torch.Tensor) -> torch.Tensor:
        ppm.model.zero_grad()
        torch.autograd.backward((logits[:, 0] - 2 * logits[:, 1]).sum())
        return torch.cat([each.grad.flatten() for each in ppm.model.parameters() if each.grad is not None])

    read_once = gradient(term_logits(ppm, collate(batch, 0)))
    read_alone = gradient(
        torch.stack([torch.stack([logit_alone(ppm, state) for state in term.states]) for term in found])
    )
    assert read_once == pytest.approx(read_alone, abs=1e-3)
    ppm.model.zero_grad()


@pytest.mark.parametrize(
    ("model_type", "kinds"), [("mistral", None), ("gemma2", ["sliding_attention", "full_attention"])]
)
def test_a_state_that_is_longer_than_a_window_scores_as_it_does_alone(
    model_type: str, kinds: list[str] | None, tmp_path: Path
) -> None:
    """Some layers see only the last few tokens of a state, whatever is beside it in the row."""
    from transformers import AutoConfig, AutoModelForCausalLM

    _, tokenizer = tiny_model()
    tokenizer.save_pretrained(tmp_path)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=8,
        sliding_window=4,
        initializer_range=0.3,
        **({} if kinds is None else {"layer_types": kinds}),
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    ppm = ppm_from_policy(str(tmp_path))
    torch.nn.init.normal_(ppm.model.score.weight)
    first, second = tuple(range(10, 30)), (*range(10, 22), *range(40, 52))
    [batch] = make_batches([TokenTerm("a", (first, second), 0.0, 1.0)], 99, 0)
    ppm.model.eval()
    with torch.no_grad():
        together = term_logits(ppm, collate(batch, 0))[0].tolist()
        alone = [logit_alone(ppm, state).item() for state in (first, second)]
    assert together == pytest.approx(alone, abs=1e-3)


def test_layers_that_take_no_masks_are_refused(ppm: PPM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppm.model.config, "layer_types", ["linear_attention", "full_attention"], raising=False)
    with pytest.raises(TreestarError, match="all of whose layers take masks, and this has linear_attention"):
        term_logits(ppm, collate(make_batches([TokenTerm("a", ((10, 11),), 0.0, 1.0)], 40, 0)[0], 0))


def test_attention_without_masks_is_refused(tmp_path: Path) -> None:
    ppm = ppm_from_policy(str(save_tiny_model(tmp_path)))
    ppm.model.set_attn_implementation("eager")
    with pytest.raises(TreestarError, match="sdpa"):
        term_logits(ppm, collate(make_batches([TokenTerm("a", ((10, 11),), 0.0, 1.0)], 40, 0)[0], 0))
