"""A policy whose model runs on this machine: what the backends share. Each brings its own generation."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from treestar.concurrency import gather_all
from treestar.policy.backends.forcing import forced_step, forcing_for, unread_step
from treestar.policy.backends.generated import Generated, Generation, step_in
from treestar.policy.backends.prompt_tokens import prompt_tokens
from treestar.policy.backends.sampling import refuse_distinct, request_seed
from treestar.policy.formats import StepFormat
from treestar.policy.language_model import LanguageModelPolicy
from treestar.types import ContextOverflow, Proposal, Sampling, State, Step

__all__ = ["LocalPolicy"]


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
            TreestarError: the backend failed, or there is a thinking budget and the model does not think.
        """
        prompt = self.prompt_tokens(state)
        if sampling.thinking is not None:
            return await self.propose_forced(state, prompt, n, sampling, seed)
        if len(prompt) + sampling.max_tokens > self.context:
            raise ContextOverflow(
                f"{len(prompt)} tokens of prompt and a step of up to {sampling.max_tokens} exceed the "
                f"{self.context} tokens of {self.name}'s context"
            )
        stops = self.format.stop_strings(state)
        generation = await self.generate(prompt, n, sampling, seed, stops)
        completed = await gather_all(
            self.complete(each, prompt, sampling, seed, index, stops)
            for index, each in enumerate(generation.continuations)
        )
        further = sum(each.tokens for each in completed) - sum(each.tokens for each in generation.continuations)
        steps = tuple(self.step(state, each) for each in completed)
        return Proposal(steps, len(prompt), generation.tokens + further)

    async def propose_forced(self, state: State, prompt: list[int], n: int, sampling: Sampling, seed: int) -> Proposal:
        """`propose` within a thinking budget (`forcing.py`)."""
        assert sampling.thinking is not None
        forcing = forcing_for(sampling.thinking, self.tokenizer, self.format, self.context, self.name)
        refuse_distinct(sampling, f"{self.name} with a thinking budget")
        stops = self.format.stop_strings(state)

        async def candidate(index: int) -> Step:
            async def generate(ids: list[int], limit: int, further: tuple[str, ...], part: int) -> Generated:
                one = replace(sampling, max_tokens=limit)
                numbered = request_seed(seed, index, part)
                return (await self.generate(ids, 1, one, numbered, (*stops, *further))).continuations[0]

            made, is_forced = await forced_step(
                generate, forcing, self.tokenizer, self.format, state, prompt, sampling.max_tokens
            )
            return unread_step(made) if is_forced else self.step(state, made)

        steps = await gather_all(map(candidate, range(n)))
        return Proposal(tuple(steps), len(prompt), sum(step.tokens for step in steps))

    def prompt_tokens(self, state: State) -> list[int]:
        """What the model reads."""
        return prompt_tokens(self.tokenizer, self.format, state)

    async def complete(
        self, begun: Generated, prompt: list[int], sampling: Sampling, seed: int, index: int, stops: tuple[str, ...]
    ) -> Generated:
        """Continuation `index` of `prompt`, continued while a stop string ended it where its step does not end."""
        part = 0
        while not begun.ended and (left := sampling.max_tokens - begun.tokens) > 0 and self.format.goes_on(begun.text):
            part += 1
            one = replace(sampling, max_tokens=left, distinct=False)
            further = await self.generate([*prompt, *begun.token_ids], 1, one, request_seed(seed, index, part), stops)
            begun = begun.then(further.continuations[0])
            begun = replace(begun, text=self.tokenizer.decode(list(begun.token_ids), skip_special_tokens=False))
        return begun

    def step(self, state: State, generated: Generated) -> Step:
        return step_in(self.format, state, generated, self.tokenizer)
