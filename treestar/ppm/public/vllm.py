"""Public reward models on vLLM in this process (docs/guides/scorers.md).

Every score is one request with the tokens up to its position: causal models generate a single token and give the
log-probabilities of the two that count, classifiers are pooled. vLLM's prefix cache keeps what requests have in common.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import exp
from typing import Any, Literal

from treestar.policy.backends.vllm_engine import VLLMEngine
from treestar.policy.models import Dtype, loading
from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.choose import CONVENTIONS
from treestar.ppm.public.convention import Convention, TokenPairConvention
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.qwen_math_prm import QwenMathPRM
from treestar.ppm.public.scorer import PublicScorer
from treestar.ppm.public.whole_answers import RewardModel
from treestar.types import TreestarError

__all__ = ["VLLMPublicScorer", "load_public_vllm_scorer"]

EVERY_TOKEN = {"pooler_config": {"tok_pooling_type": "ALL"}}
"""Otherwise vLLM looks for the mark by an id that only the original tokenizer has."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How vLLM is asked for one score."""

    runner: Literal["generate", "pooling"]
    request: Callable[[Any, Any, str], Any]
    """From a prompt, the engine and a request's id to the iterator of outputs."""
    value: Callable[[Any], float]
    """The raw value in the last output."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Engine arguments that this needs."""


@dataclass(frozen=True, slots=True)
class VLLMReader:
    """Implements `treestar.ppm.reading.Reader`."""

    engine: VLLMEngine
    asking: Asking

    def raw_values(self, rows: Sequence[list[int]], positions: Sequence[list[int]]) -> list[tuple[list[float], int]]:
        """See `Reader.raw_values`. Raises TreestarError if the engine has died."""
        from vllm import TokensPrompt

        prompts = [row[: place + 1] for row, places in zip(rows, positions, strict=True) for place in places]
        requests = [partial(self.asking.request, TokensPrompt(prompt_token_ids=ids)) for ids in prompts]
        answers = iter(zip(prompts, asyncio.run(self.engine.gather(requests)), strict=True))
        found = []
        for places in positions:
            mine = [next(answers) for _ in places]
            tokens = sum(len(ids) - output.num_cached_tokens for ids, output in mine)
            found.append(([self.asking.value(output) for _, output in mine], tokens))
        return found


class VLLMPublicScorer(PublicScorer):
    """A `PublicScorer` whose model an engine computes."""

    def __init__(
        self,
        convention: Convention,
        engine: VLLMEngine,
        asking: Asking,
        aggregate: Aggregate | None = None,
        max_batch: int = 128,
    ) -> None:
        # The token that is generated takes a place too.
        context = engine.context - (asking.runner == "generate")
        super().__init__(convention, [VLLMReader(engine, asking)], context, aggregate, max_batch)
        self.engine = engine

    async def close(self) -> None:
        """End the engine."""
        self.engine.close()


def load_public_vllm_scorer(
    checkpoint: Checkpoint,
    kind: ScorerKind,
    arguments: Mapping[str, Any],
    max_batch: int,
    dtype: Dtype | None,
    aggregate: Aggregate | None,
) -> VLLMPublicScorer:
    """The scorer over a public reward model that vLLM computes; see `load_scorer`.

    Args:
        checkpoint: the model's files; its name is what the user wrote.
        kind: one of `CONVENTIONS`.
        arguments: vLLM's engine arguments.

    Raises:
        TreestarError: vLLM does not compute this kind or cannot start, or the files are not those of such a model.
    """
    with loading("PPM", checkpoint.name):
        convention = CONVENTIONS[kind](checkpoint)
    asking = asking_of(convention)
    settings = {"runner": asking.runner, "dtype": dtype or "auto", **asking.settings, **arguments}
    engine = VLLMEngine("PPM", checkpoint.name, checkpoint.path, max_batch, settings)
    return VLLMPublicScorer(convention, engine, asking, aggregate, max_batch)


def asking_of(convention: Convention) -> Asking:
    """How vLLM gives the scores of `convention`. Raises TreestarError if it does not."""
    if isinstance(convention, TokenPairConvention):
        return next_token(convention.right, convention.wrong)
    if isinstance(convention, RewardModel) and not convention.is_qwen and convention.checkpoint.labels == 1:
        return Asking("pooling", partial(pool, "classify"), lambda output: float(output.outputs.data))
    if isinstance(convention, QwenMathPRM):
        return Asking("pooling", partial(pool, "token_classify"), second_of_two, EVERY_TOKEN)
    checkpoint = convention.checkpoint
    raise TreestarError(
        f"scorer {checkpoint.name!r} is a {checkpoint.architecture} of the kind {convention.kind}, which cannot be "
        "computed through vLLM: give the folder or hub id alone, and transformers computes it in this process"
    )


def next_token(right: int, wrong: int) -> Asking:
    """The probability of the token `right` as the next one, against `wrong`."""

    def request(prompt: Any, engine: Any, request_id: str) -> Any:
        from vllm import SamplingParams

        parameters = SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=[right, wrong], detokenize=False)
        return engine.generate(prompt, parameters, request_id)

    def value(output: Any) -> float:
        [found] = output.outputs[0].logprobs
        return sigmoid(found[right].logprob - found[wrong].logprob)

    return Asking("generate", request, value)


def pool(task: str, prompt: Any, engine: Any, request_id: str) -> Any:
    """The raw outputs of a classifier."""
    from vllm import PoolingParams

    # vLLM has outputs only for tokens that are not in its prefix cache, so by default it reads all of them again. Here
    # only that of the last token counts, which is never there.
    parameters = PoolingParams(task=task, use_activation=False, skip_reading_prefix_cache=False)
    return engine.encode(prompt, parameters, request_id)


def second_of_two(output: Any) -> float:
    """The probability of the second label at the last token."""
    first, second = output.outputs.data[-1].tolist()
    return sigmoid(second - first)


def sigmoid(value: float) -> float:
    return 1.0 / (1.0 + exp(-value)) if value >= 0 else 1.0 - sigmoid(-value)
