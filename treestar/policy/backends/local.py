"""A policy whose model runs on this machine: what the backends share. Each brings its own generation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from treestar.policy.formats import StepFormat
from treestar.policy.language_model import LanguageModelPolicy
from treestar.types import ContextOverflow, Proposal, Sampling, State, Step

__all__ = ["Generated", "Generation", "LocalPolicy"]


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation."""

    text: str
    """Up to and including the stop string, or up to the end-of-sequence token, which is left out."""
    ended: bool
    """The model generated its end-of-sequence token."""
    tokens: int
    """New tokens, an end-of-sequence token included."""
    log_probability: float
    """Natural log of their probability at temperature 1, summed; <= 0."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The continuations of one prompt."""

    continuations: Sequence[Generated]
    tokens: int
    """New tokens computed for all of them together."""


class LocalPolicy(LanguageModelPolicy):
    """Turns states into tokens and continuations into steps; a backend implements `generate`.

    Args:
        tokenizer: the model's transformers tokenizer.
        step_format: the format in which the model writes its steps.
        context: maximum tokens of prompt and continuation together.
    """

    def __init__(self, tokenizer: Any, step_format: StepFormat, name: str, context: int) -> None:
        super().__init__(step_format, name)
        self.tokenizer = tokenizer
        self.context = context

    @abstractmethod
    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        """`n` continuations of the tokens `prompt`. Continuation i depends only on the arguments and i.

        Raises:
            TreestarError: the backend failed.
        """

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        """See `Policy.propose`.

        Raises:
            ContextOverflow: the prompt and the longest step exceed the model's context.
            TreestarError: the backend failed.
        """
        prompt = self.tokenizer(self.format.prompt(state), add_special_tokens=False, verbose=False)["input_ids"]
        if len(prompt) + sampling.max_tokens > self.context:
            raise ContextOverflow(
                f"{len(prompt)} tokens of prompt and a step of up to {sampling.max_tokens} exceed the "
                f"{self.context} tokens of {self.name}'s context"
            )
        generation = await self.generate(prompt, n, sampling, seed, self.format.stop_strings(state))
        steps = tuple(self.step(state, each) for each in generation.continuations)
        return Proposal(steps, len(prompt), generation.tokens)

    def step(self, state: State, generated: Generated) -> Step:
        stopped = any(stop in generated.text for stop in self.format.stop_strings(state))
        step = self.format.parse(state, generated.text, generated.ended and not stopped)
        return replace(step, tokens=generated.tokens, log_probability=generated.log_probability)
