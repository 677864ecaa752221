"""Tiny random models of many architectures: the batches of the transformers backend write what transformers' own
`generate` writes for one prompt, or the model is refused."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, GenerationConfig

from treestar.policy import RStarFormat, TransformersPolicy, load_policy
from treestar.policy.backends.checked import CHECKED
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.prefix_cache import window_of
from treestar.types import Sampling, TreestarError

TOKENIZER = tiny_model()[1]
WINDOW = 16
SIZES = {
    "vocab_size": len(TOKENIZER) + 20,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": TOKENIZER.eos_token_id,
    "pad_token_id": None,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
WINDOWS = {"sliding_window": WINDOW, "use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "cohere": GROUPED,
    "cohere2": {**GROUPED, **WINDOWS},
    "exaone4": {**GROUPED, **WINDOWS},
    "gemma": GROUPED,
    "gemma2": {**GROUPED, **WINDOWS, "attn_logit_softcapping": 2.0},
    "gemma3": {},
    "gemma3_text": {**GROUPED, **WINDOWS},
    "glm": GROUPED,
    "glm4": GROUPED,
    "gpt2": {},
    "gpt_neox": {},
    "granite": GROUPED,
    "llama": GROUPED,
    "mistral": {**GROUPED, "sliding_window": WINDOW},
    "mixtral": {**GROUPED, **EXPERTS},
    "olmo": GROUPED,
    "olmo2": GROUPED,
    "olmo3": {**GROUPED, **WINDOWS},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": {**GROUPED, "sliding_window": WINDOW},
    "qwen2": {**GROUPED, **WINDOWS},
    "qwen2_moe": {**GROUPED, **WINDOWS, **EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3": {**GROUPED, **WINDOWS},
    "qwen3_moe": {**GROUPED, **EXPERTS},
    "seed_oss": GROUPED,
    "smollm3": {**GROUPED, "no_rope_layers": [1, 0]},
}

NEW = 10
GREEDY = Sampling(temperature=0.0, max_tokens=NEW, token_log_probabilities=True)


def tiny(kind: str, **settings: Any) -> Any:
    """A model of this kind whose attention matters for what it writes: larger weights than transformers gives it."""
    torch.manual_seed(0)
    if kind == "gemma3":
        sees = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        text = AutoConfig.for_model("gemma3_text", **{**SIZES, **KINDS["gemma3_text"], **settings}).to_dict()
        config = AutoConfig.for_model(kind, text_config=text, vision_config={**sees, "image_size": 28}, **settings)
    else:
        config = AutoConfig.for_model(kind, **{**SIZES, **KINDS.get(kind, {}), **settings})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(
                    std=0.6 if "lm_head" in name or "embed_out" in name else 0.15 if "emb" in name else 0.35
                )
            elif name.endswith("bias"):
                parameter.normal_(std=0.3)
    return model


@cache
def prompts() -> Sequence[list[int]]:
    """Some begin alike, some are longer than the window, one has a single token."""
    generator = torch.Generator().manual_seed(1)

    def some(length: int) -> list[int]:
        return torch.randint(5, 250, (length,), generator=generator).tolist()

    shared = some(26)
    return [some(5), [*shared, *some(3)], [*shared, *some(9)], some(1), shared[:20], some(41)]


def generated(policy: TransformersPolicy, *requests: tuple[list[int], int, Sampling]) -> list[Sequence[Generated]]:
    """The continuations of all requests, which arrive one after the other."""

    async def one(place: int, prompt: list[int], n: int, sampling: Sampling) -> Sequence[Generated]:
        for _ in range(place):
            await asyncio.sleep(0.001)
        return (await policy.generate(prompt, n, sampling, 3, ())).continuations

    async def together() -> list[Sequence[Generated]]:
        return await asyncio.gather(*(one(place, *request) for place, request in enumerate(requests)))

    return asyncio.run(asyncio.wait_for(together(), 120))


def log_probabilities(model: Any, prompt: list[int], made: Generated) -> list[float]:
    """Of the tokens that were made, in one forward pass over all of them."""
    new = [*made.token_ids, *([] if made.end_token is None else [made.end_token])]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + new]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1).gather(1, torch.tensor(new)[:, None])[:, 0].tolist()


def greedily(model: Any, prompt: list[int]) -> tuple[int, ...]:
    """What transformers writes, without the token that ends it."""
    ids = torch.tensor([prompt])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW, pad_token_id=0)
    new = made[0, len(prompt) :].tolist()
    return tuple(new[:-1] if new[-1] == TOKENIZER.eos_token_id else new)


def compare(model: Any, batch: int = 4) -> None:
    """Check greedy, sampled and distinct continuations of one policy."""
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    policy = TransformersPolicy(model, TOKENIZER, RStarFormat(), "tiny", max_batch=batch)
    expected = [greedily(plain, prompt) for prompt in prompts()]
    found = generated(policy, *[(prompt, 1 + place % 3, GREEDY) for place, prompt in enumerate(prompts())])
    for wanted, made in zip(expected, found, strict=True):
        assert [each.token_ids for each in made] == [wanted] * len(made)

    longer = [[*prompt, *wanted, 7] for prompt, wanted in zip(prompts(), expected, strict=True)][:3]
    again = generated(policy, *[(prompt, 2, GREEDY) for prompt in longer])
    assert policy.generator.prefixes.reused_tokens > 0
    assert [made[1].token_ids for made in again] == [greedily(plain, prompt) for prompt in longer]

    independent = Sampling(max_tokens=NEW, top_p=0.9, token_log_probabilities=True)
    distinct = Sampling(max_tokens=NEW, distinct=True, token_log_probabilities=True)
    drawn = generated(policy, *[(prompt, 3, each) for prompt in prompts()[1:3] for each in (independent, distinct)])
    assert len({each.token_ids for each in drawn[1]}) == len({each.token_ids for each in drawn[3]}) == 3
    for prompt, made in zip(
        [*prompts(), *prompts()[1:3], *prompts()[1:3]], [*found, *drawn[::2], *drawn[1::2]], strict=True
    ):
        own = [each.log_probability for each in made[-1].token_log_probabilities]
        assert own == pytest.approx(log_probabilities(plain, prompt, made[-1]), abs=2e-3)


def test_every_kind_that_is_not_tried_at_load_is_compared_here() -> None:
    assert set(KINDS) == CHECKED


@pytest.mark.parametrize("kind", KINDS)
def test_batches_write_what_generate_writes(kind: str) -> None:
    compare(tiny(kind))


ROPE = {"rope_theta": 10_000.0, "original_max_position_embeddings": 32}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"rope_parameters": {**ROPE, "rope_type": "yarn", "factor": 16.0}}),
        (
            "llama",
            {
                "rope_parameters": {
                    **ROPE,
                    "rope_type": "llama3",
                    "factor": 16.0,
                    "low_freq_factor": 1,
                    "high_freq_factor": 4,
                }
            },
        ),
        ("llama", {"tie_word_embeddings": True}),
        ("qwen2", {"use_sliding_window": False, "layer_types": None}),
        ("qwen2_moe", {"use_sliding_window": False, "layer_types": None}),
    ],
)
def test_so_do_those_with_other_settings(kind: str, settings: dict[str, Any]) -> None:
    compare(tiny(kind, **settings))


def test_what_generation_config_leaves_over_changes_nothing_but_the_ends() -> None:
    model = tiny("llama")
    [usual] = generated(TransformersPolicy(model, TOKENIZER, RStarFormat(), "tiny"), (prompts()[1], 1, GREEDY))
    ends = [TOKENIZER.eos_token_id, usual[0].token_ids[4]]
    model.generation_config = GenerationConfig(
        eos_token_id=ends,
        repetition_penalty=1.5,
        top_k=50,
        max_length=20,
        forced_eos_token_id=9,
        no_repeat_ngram_size=1,
    )
    [made] = generated(TransformersPolicy(model, TOKENIZER, RStarFormat(), "tiny"), (prompts()[1], 1, GREEDY))
    assert made[0].token_ids == usual[0].token_ids[: usual[0].token_ids.index(ends[1])]
    assert made[0].end_token == ends[1]


def test_half_precision_writes_as_much() -> None:
    policy = TransformersPolicy(tiny("qwen3").to(torch.bfloat16), TOKENIZER, RStarFormat(), "tiny")
    for made in generated(policy, *[(prompt, 2, GREEDY) for prompt in prompts()]):
        assert made[0].token_ids == made[1].token_ids
        assert made[0].log_probability > -NEW * 4


def test_positions_that_depend_on_the_length_limit_the_context() -> None:
    """With LongRoPE (Phi-3) everything has other positions once a text is longer than the first models read."""
    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 4.0, 5.0]}
    scaled = {"rope_parameters": {**ROPE, **factors, "rope_type": "longrope"}, "original_max_position_embeddings": 64}
    model = tiny("phi3", **scaled)
    assert TransformersPolicy(copy.deepcopy(model), TOKENIZER, RStarFormat(), "tiny").context == 64
    compare(model)


MLA = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("deepseek_v2", {**MLA, "head_dim": 4, "first_k_dense_replace": 2}),
        ("diffllama", GROUPED),
        ("falcon", {}),
        ("mamba", {"state_size": 4}),
        ("stablelm", {}),
    ],
)
def test_an_architecture_that_batches_would_compute_wrongly_is_refused(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(TreestarError, match="use vllm:tiny") as caught:
        TransformersPolicy(tiny(kind, **settings), TOKENIZER, RStarFormat(), "tiny")
    assert "\n" not in str(caught.value)


def test_a_kind_that_was_not_compared_but_is_right_is_accepted() -> None:
    compare(tiny("vaultgemma", **GROUPED, **WINDOWS, attn_logit_softcapping=2.0))


def test_an_encoder_is_refused() -> None:
    with pytest.raises(TreestarError, match="BertLMHeadModel does not read from left to right"):
        TransformersPolicy(tiny("bert"), TOKENIZER, RStarFormat(), "tiny")


def test_windows_of_kinds_that_were_not_compared_limit_the_context() -> None:
    policy = TransformersPolicy(tiny("starcoder2", **GROUPED, sliding_window=40), TOKENIZER, RStarFormat(), "tiny")
    assert policy.context == 40


def test_a_window_of_nothing_is_none() -> None:
    """As Qwen2-MoE says it. Prompts would be read one by one."""
    assert window_of(tiny("qwen2_moe", use_sliding_window=False, layer_types=None).config) is None


def saved(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


def test_files_without_an_output_layer_are_no_policy(tmp_path: Path) -> None:
    """transformers would give it a random one."""
    config = AutoConfig.for_model("qwen2", **SIZES, num_labels=1)
    folder = saved(tmp_path, AutoModelForSequenceClassification.from_config(config))
    with pytest.raises(TreestarError, match=r"is not a whole language model: its files lack lm_head\.weight") as caught:
        load_policy(folder, dtype="float32")
    assert "\n" not in str(caught.value)


def test_a_tied_output_layer_is_not_missing(tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny("qwen2", tie_word_embeddings=True))
    assert load_policy(folder, dtype="float32").context == SIZES["max_position_embeddings"]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_model_that_encodes_and_writes_another_text_is_refused(kind: str, tmp_path: Path) -> None:
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    with pytest.raises(TreestarError, match=f"of the kind {kind}, which encodes a text"):
        load_policy(str(tmp_path))
