"""Reward models of several architectures: states that are scored together, and again with what was read of them, have
the scores of transformers' own model, which reads one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.reward_models import byte_tokenizer, save_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from treestar.ppm import load_scorer
from treestar.ppm.public.scorer import PublicScorer
from treestar.types import Execution, Problem, State, Step

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 1024,
    "num_labels": 1,
}
WINDOWS = {"sliding_window": 24, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "gemma2": {**WINDOWS, "attn_logit_softcapping": 2.0},
    "gemma3_text": WINDOWS,
    "llama": {},
    "mistral": {"sliding_window": 24},
    "phi3": {},
    "qwen2_moe": {**WINDOWS, **EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": EXPERTS,
}


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_one_text_at_a_time(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **SIZES, **ids, **KINDS[kind]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.15 if "emb" in name else 0.35)
    scorer = load_scorer(str(save_model(tmp_path / "Reward", model, tokenizer)), device="cpu", dtype="float32")
    assert isinstance(scorer, PublicScorer)
    plain = model.eval()
    plain.set_attn_implementation("eager")

    steps = ("We add them.", "2 + 3 is 5, which is a prime number.", "So it is 5.")
    states = [
        State(Problem(question), tuple(map(Step, steps[:count])), (Execution(),) * count)
        for question, count in (("How much is 2 + 3?", 1), ("How much is 2 + 3?", 3), ("2 + 3?", 2), ("Why?", 3))
    ]
    expected = []
    for row in map(scorer.row_of, states):
        with torch.inference_mode():
            reward = plain(input_ids=torch.tensor([row.ids])).logits[0, 0].item()
        [probability] = scorer.convention.probabilities([reward])
        expected.append(2 * probability - 1)
    assert len(set(expected)) == len(expected)
    for asked in (states[:1], states):
        scorer.known.clear()
        found = asyncio.run(scorer.score(asked)).values
        assert found == pytest.approx(expected[: len(asked)], abs=1e-4)
