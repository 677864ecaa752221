"""A policy whose model runs on this machine: what the backends share. What generates is theirs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from treestar.policy.formats import StepFormat
from treestar.types import ContextOverflow, Execution, Problem, Proposal, Sampling, State, Step

__all__ = ["Generated", "Generation", "LocalPolicy"]


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation."""

    text: str
    """Up to and with the stop string, or up to the end-of-sequence token, which is left out."""
    ended: bool
    """The model gave its end-of-sequence token."""
    tokens: int
    """New tokens, an end-of-sequence token included."""
    log_probability: float
    """Natural log of what the model gives to them at temperature 1, summed."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The continuations of one prompt."""

    continuations: Sequence[Generated]
    tokens: int
    """New tokens that were computed for them."""


class LocalPolicy(ABC):
    """Implements `treestar.types.Policy` over tokens; a backend implements `generate`.

    Args:
        tokenizer: the model's, of transformers.
        step_format: the form of the step format that the model speaks.
        context: tokens of prompt and continuation together.
    """

    def __init__(self, tokenizer: Any, step_format: StepFormat, name: str, context: int) -> None:
        self.tokenizer = tokenizer
        self.format = step_format
        self.name = name
        self.context = context

    @abstractmethod
    async def generate(
        self, prompt: list[int], n: int, sampling: Sampling, seed: int, stop_strings: tuple[str, ...]
    ) -> Generation:
        """`n` continuations of the tokens `prompt`. Continuation i hangs on the arguments and i alone.

        Raises:
            TreestarError: the backend failed.
        """

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
