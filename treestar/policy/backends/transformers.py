"""A policy over any Hugging Face causal language model, on CPU or CUDA. `generator.py` does the generation."""

from __future__ import annotations

import asyncio
from typing import Any

from treestar.policy.backends.end_tokens import end_tokens
from treestar.policy.backends.generated import Generation
from treestar.policy.backends.local import LocalPolicy
from treestar.policy.formats import StepFormat
from treestar.policy.models import text_config
from treestar.policy.models.output_layer import read_positions_at_once
from treestar.types import Sampling

__all__ = ["TransformersPolicy", "context_length"]


class TransformersPolicy(LocalPolicy):
    """A policy whose model transformers computes in this process.

    Args:
        model: a causal language model as returned by `from_pretrained`.
        tokenizer: its tokenizer.
        step_format: the format in which the model writes its steps.
        max_batch: maximum number of sequences generated at the same time.
        prefix_cache_bytes: memory for keys and values of what the model has read and may have to read again.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        step_format: StepFormat,
        name: str,
        max_batch: int = 128,
        prefix_cache_bytes: int = 2**30,
    ) -> None:
        from treestar.policy.backends.checked import exact_context, share_prompts_if_right
        from treestar.policy.backends.generator import Generator

        super().__init__(tokenizer, step_format, name, exact_context(model, context_length(model.config, tokenizer)))
        self.model = model.eval()
        share_prompts_if_right(model, name)
        read_positions_at_once(model)
        ends = end_tokens(tokenizer, step_format, model.generation_config)
        self.generator = Generator(self.model, tokenizer, name, ends, max_batch, prefix_cache_bytes)

    def forget(self) -> None:
        """Drop the keys and values of what was read, because the model's weights have changed. Nothing may be in
        progress."""
        self.generator.prefixes.clear()

    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        """See `LocalPolicy.generate`. Raises TreestarError if the model ran out of memory on a single sequence."""
        from treestar.policy.backends.request import Request

        request = Request(prompt, n, sampling, seed, stop_strings)
        self.generator.submit(request)
        return await asyncio.wrap_future(request.done)


def context_length(config: Any, tokenizer: Any) -> int:
    """Maximum tokens of prompt and continuation together. A sliding window does not limit it: it limits how far back
    some layers see. Position embeddings that change with the length (LongRoPE; Phi-3 with 128k) do: sequences of
    other lengths share a batch, and what was read of a shorter one is reused."""
    config = text_config(config)
    context: int = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    rope = getattr(config, "rope_parameters", None) or {}
    # Some models have others for each kind of layer.
    kinds = [rope, *(each for each in rope.values() if isinstance(each, dict))]
    changing = [each for each in kinds if each.get("rope_type") == "longrope"]
    exact: int = min([context, *(each["original_max_position_embeddings"] for each in changing)])
    return exact
