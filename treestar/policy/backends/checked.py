"""Whether the batches of this backend compute what a model computes alone.

transformers has about 180 kinds of causal models, and nothing tells that one of them combines its attention in its own
way: it would then write wrong tokens without an error. So a kind that the tests do not compare with transformers' own
generation is tried at load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from treestar.policy.backends.decoding import Continuation, DecodingBatch
from treestar.policy.backends.prefix_cache import PrefixCache, read, window_of
from treestar.policy.backends.shared_attention import share_prompts
from treestar.policy.models import text_config
from treestar.types import Sampling, TreestarError

__all__ = ["CHECKED", "exact_context", "share_prompts_if_right"]

CHECKED = frozenset(
    (
        "cohere",
        "cohere2",
        "exaone4",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "glm",
        "glm4",
        "gpt2",
        "gpt_neox",
        "granite",
        "llama",
        "mistral",
        "mixtral",
        "olmo",
        "olmo2",
        "olmo3",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "seed_oss",
        "smollm3",
    )
)
"""`model_type` of what `tests/policy/test_architectures.py` compares with transformers' `generate`."""

MOST_DIFFERENT = 0.01
"""How far logits may be from those of the model alone, as a share of their spread, where numbers have enough digits.
Rounding in float32 gives a millionth, wrong attention about 1, and rarely less than a tenth."""
MOST_ROUNDED = 40
"""The same in half precision, in units of its rounding."""


def exact_context(model: Any, context: int) -> int:
    """`context`, or the tokens up to which the batches of a model of a kind that is not in CHECKED are right for sure:
    no more than its layers with a window see."""
    window = None if model.config.model_type in CHECKED else window_of(model.config)
    return context if window is None else min(context, window)


def share_prompts_if_right(model: Any, name: str) -> None:
    """See `share_prompts`. A model of a kind that is not in CHECKED reads two short texts for it, alone and in a batch.

    Raises:
        TreestarError: as `share_prompts`, or the two differ, or the model cannot be read in a batch.
    """
    if model.config.model_type in CHECKED:
        share_prompts(model, name)
        return
    vocabulary = text_config(model.config).vocab_size
    texts = [[(11 * length + 7 * place) % vocabulary for place in range(length)] for length in (9, 14)]
    found = None
    try:
        model.set_attn_implementation("eager")  # a model's own definition of its attention
        with torch.inference_mode():
            alone = torch.stack(
                [model(input_ids=torch.tensor([text], device=model.device)).logits[0, -1] for text in texts]
            )
        share_prompts(model, name)
        difference = spread_between(alone, in_a_batch(model, texts))
        if difference > max(MOST_DIFFERENT, MOST_ROUNDED * torch.finfo(alone.dtype).eps):
            found = f"gives other logits in a batch than alone, by {difference:.0%} of their spread"
    except (TreestarError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # models that are built otherwise raise anything
        found = f"cannot be read in a batch ({type(error).__name__})"
    if found:
        raise TreestarError(
            f"{name}: {type(model).__name__} {found}, so the transformers backend cannot compute it; use vllm:{name} "
            "or a server (openai:MODEL@URL)"
        )


def in_a_batch(model: Any, texts: Sequence[list[int]]) -> torch.Tensor:
    """The logits after each text, shape (texts, vocabulary), whose last token a batch has read."""

    def forward(**inputs: Any) -> torch.Tensor:
        logits: torch.Tensor = model(**inputs, use_cache=True, logits_to_keep=1).logits
        return logits

    prompts, columns = [text[:-1] for text in texts], sum(map(len, texts))
    known = read(forward, prompts, PrefixCache(0), model.device, 2 * columns, window=window_of(model.config))
    batch: DecodingBatch[Continuation] = DecodingBatch(model)
    for text, prompt, sequence in zip(texts, prompts, known, strict=True):
        batch.join([Continuation(list(text), len(prompt), Sampling(), [])], sequence.keys_values)
    return batch.step()


def spread_between(expected: torch.Tensor, found: torch.Tensor) -> float:
    """The size of the difference between logits, relative to their standard deviation; of shape (texts, vocabulary)."""
    return float((found.float() - expected.float()).std() / expected.float().std())
