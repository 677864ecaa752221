"""A policy over any Hugging Face causal language model, on CPU or CUDA. What generates is `generator.py`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treestar.policy.format import StepFormat
from treestar.types import ContextOverflow, Execution, Problem, Proposal, Sampling, State, Step

if TYPE_CHECKING:
    from treestar.policy.generator import Generated

__all__ = ["TransformersPolicy"]


class TransformersPolicy:
    """Implements `treestar.types.Policy`.

    Args:
        model: a causal language model as `from_pretrained` gives it.
        tokenizer: its tokenizer.
        step_format: the form of the step format that the model speaks.
        max_batch: most sequences generated at the same time.
        prefix_cache_bytes: memory for what the model has read and may have to read again (keys and values).
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
        from treestar.policy.generator import Generator

        self.model = model.eval()
        self.tokenizer = tokenizer
        self.format = step_format
        self.name = name
        self.context = context_length(model.config, tokenizer)
        ends = model.generation_config.eos_token_id
        padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        end_tokens = {padding, *([ends] if isinstance(ends, int) else ends or [])}
        self.generator = Generator(self.model, tokenizer, name, end_tokens, max_batch, prefix_cache_bytes)

    def preamble(self, problem: Problem) -> str:
        return self.format.preamble(problem)

    def display(self, problem: Problem, text: str) -> str:
        return self.format.display(problem, text)

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return self.format.final_answer(step, execution)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`.

        Raises:
            ContextOverflow: prompt and longest step together exceed the model's context.
            TreestarError: the model ran out of memory on a single sequence.
        """
        from treestar.policy.generator import Request

        prompt = self.tokenizer(self.format.prompt(state), add_special_tokens=False, verbose=False)["input_ids"]
        if len(prompt) + sampling.max_tokens > self.context:
            raise ContextOverflow(
                f"{len(prompt)} tokens of prompt and a step of up to {sampling.max_tokens} exceed the "
                f"{self.context} tokens of {self.name}'s context"
            )
        request = Request(prompt, n, sampling, seed, self.format.stop_strings(state))
        self.generator.submit(request)
        steps = [self.step(state, each) for each in await asyncio.wrap_future(request.done)]
        return Proposal(tuple(steps), len(prompt), sum(step.tokens for step in steps))

    def step(self, state: State, generated: Generated) -> Step:
        stopped = any(stop in generated.text for stop in self.format.stop_strings(state))
        step = self.format.parse(state, generated.text, generated.ended and not stopped)
        return replace(step, tokens=generated.tokens, log_probability=generated.log_probability)


def context_length(config: Any, tokenizer: Any) -> int:
    """Tokens of prompt and continuation together. A sliding window ends it: beyond, the reuse of prefixes would let the
    model see other tokens than it would alone."""
    context: int = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    window: int | None = getattr(config, "sliding_window", None)
    return min(context, window or context)
