"""A scorer that runs on vLLM's pooling runner in this process (docs/guides/backends.md)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import tanh
from typing import Any

from treestar.policy.backends.vllm_engine import VLLMEngine, parse_vllm_name
from treestar.policy.formats import step_format_for
from treestar.policy.models import Dtype, ppm_path
from treestar.ppm.encoding import check_step_ends, encode, fitting_part
from treestar.types import Scores, State

__all__ = ["VLLMScorer", "load_vllm_scorer"]


class VLLMScorer:
    """Implements `treestar.types.Scorer`. A state too long for the context scores as in `TransformersScorer`.

    Args:
        engine: with a sequence classifier of one label whose config.json is a PPM's.
    """

    def __init__(self, engine: VLLMEngine) -> None:
        self.engine = engine
        self.name = engine.name
        self.tokenizer = engine.tokenizer
        config = engine.config
        self.step_format = step_format_for(config, self.tokenizer)
        self.bias = float(getattr(config, "treestar_ppm_bias", 0.0))
        self.scale = float(getattr(config, "treestar_ppm_scale", 1.0))
        check_step_ends(self.tokenizer, self.step_format, self.name)

    async def score(self, states: Sequence[State]) -> Scores:
        """See `Scorer.score`. Raises TreestarError if the engine has died."""
        from vllm import TokensPrompt

        read = [
            fitting_part(encode(self.tokenizer, self.step_format, state), self.engine.context, self.name).ids
            for state in states
        ]
        outputs = await self.engine.gather([partial(request, TokensPrompt(prompt_token_ids=ids)) for ids in read])
        values = tuple(tanh((float(output.outputs.data) + self.bias) / self.scale) for output in outputs)
        return Scores(
            values, sum(len(ids) - output.num_cached_tokens for ids, output in zip(read, outputs, strict=True))
        )

    async def close(self) -> None:
        """End the engine."""
        self.engine.close()


def load_vllm_scorer(name: str, max_batch: int, dtype: Dtype | None) -> VLLMScorer:
    """The scorer that `vllm:MODEL?argument=value` names; see `load_scorer`."""
    model, arguments = parse_vllm_name(name)
    path = ppm_path(model)
    settings = {"runner": "pooling", "dtype": dtype or "auto", **arguments}
    return VLLMScorer(VLLMEngine("PPM", name, path, max_batch, settings))


def request(prompt: Any, engine: Any, request_id: str) -> Any:
    from vllm import PoolingParams

    return engine.encode(prompt, PoolingParams(task="classify", use_activation=False), request_id)
