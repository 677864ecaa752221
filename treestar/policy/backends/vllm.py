"""A policy that vLLM computes in this process (docs/guides/backends.md)."""

from __future__ import annotations

from functools import partial
from typing import Any

from treestar.policy.backends.end_tokens import end_tokens
from treestar.policy.backends.generated import Generated, Generation
from treestar.policy.backends.local import LocalPolicy
from treestar.policy.backends.sampling import refuse_distinct, request_seed
from treestar.policy.backends.vllm_engine import VLLMEngine
from treestar.policy.formats import StepFormat
from treestar.types import Sampling, TokenLogProbability

__all__ = ["VLLMPolicy"]


class VLLMPolicy(LocalPolicy):
    """A policy whose model vLLM computes in this process.

    Every candidate is a separate request with its own seed; the engine computes those of all searches together, and
    reads only the part of each prompt that is not in its prefix cache.

    Args:
        engine: with a causal language model.
        step_format: the format in which the model writes its steps.
    """

    def __init__(self, engine: VLLMEngine, step_format: StepFormat) -> None:
        super().__init__(engine.tokenizer, step_format, engine.name, engine.context)
        self.engine = engine
        self.end_tokens = sorted(end_tokens(engine.tokenizer, step_format))
        """Tokens that end a reply, besides those of the model's generation_config, which the engine knows."""
        self.read_tokens = 0
        """Tokens of prompts that the engine had to read: those that were not in its prefix cache."""

    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        """See `LocalPolicy.generate`. Raises TreestarError if the engine has died, or for distinct candidates."""
        refuse_distinct(sampling, self.name)
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        parameters = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                max_tokens=sampling.max_tokens,
                seed=request_seed(seed, index),
                stop=list(stop_strings),
                stop_token_ids=self.end_tokens,
                include_stop_str_in_output=True,
                skip_special_tokens=False,
                logprobs=sampling.confidence_top,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for index in range(n)
        ]
        outputs = await self.engine.gather(
            [partial(request, TokensPrompt(prompt_token_ids=prompt), each) for each in parameters]
        )
        self.read_tokens += sum(len(prompt) - output.num_cached_tokens for output in outputs)
        continuations = [self.generated(output.outputs[0], sampling) for output in outputs]
        return Generation(continuations, sum(each.tokens for each in continuations))

    def generated(self, output: Any, sampling: Sampling) -> Generated:
        top = sampling.confidence_top
        ended = output.finish_reason == "stop" and not isinstance(output.stop_reason, str)
        tokens = list(output.token_ids)
        kept = tokens[:-1] if ended else tokens
        text = self.tokenizer.decode(kept, skip_special_tokens=False)
        confidences = tuple(confidence(position, top) for position in output.logprobs or ()) if top else ()
        end_token = tokens[-1] if ended else None
        log_probability = min(output.cumulative_logprob, 0.0)
        of_tokens: tuple[TokenLogProbability, ...] = ()
        if sampling.token_log_probabilities:
            of_tokens = tuple(
                TokenLogProbability(self.tokenizer.decode([token]), min(position[token].logprob, 0.0))
                for token, position in zip(tokens, output.logprobs or (), strict=False)
            )
        return Generated(text, ended, len(tokens), log_probability, tuple(kept), confidences, end_token, of_tokens)

    async def close(self) -> None:
        """End the engine."""
        self.engine.close()


def request(prompt: Any, parameters: Any, engine: Any, request_id: str) -> Any:
    return engine.generate(prompt, parameters, request_id)


def confidence(position: dict[int, Any], top: int) -> float:
    """`Sampling.confidence_top`, from vLLM's log-probabilities at one position: the most probable tokens', and the
    sampled one's."""
    ordered = sorted([each.logprob for each in position.values()], reverse=True)[:top]
    return -float(sum(ordered)) / len(ordered)
