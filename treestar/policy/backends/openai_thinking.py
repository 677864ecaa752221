"""Thinking budgets at servers of OpenAI's protocol.

Where the server continues token ids, the thought is forced here as for any other backend (`forcing.py`). A server that
is asked for whole replies may limit thoughts itself: vLLM's `thinking_token_budget`. Other servers cannot be held to a
budget, and nothing is asked of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from treestar.policy.backends.forcing import Generate, forced_step, forcing_for, unread_step
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.openai_ways import Completions, Way
from treestar.policy.backends.prompt_tokens import encode, prompt_tokens
from treestar.types import Sampling, State, Step, ThinkingBudget, TreestarError

__all__ = ["forced_completion", "native_budget"]


async def forced_completion(way: Completions, generate: Generate, state: State, sampling: Sampling, name: str) -> Step:
    """The next step of `state`, within `sampling`'s thinking budget.

    Args:
        generate: asks the server to continue token ids; the answer may have its text only.
        name: the policy's, for errors.
    """
    assert sampling.thinking is not None
    tokenizer = way.tokenizer

    async def with_ids(ids: list[int], limit: int, stops: tuple[str, ...], part: int) -> Generated:
        further = await generate(ids, limit, stops, part)
        return further if further.token_ids else replace(further, token_ids=tuple(encode(tokenizer, further.text)))

    # The server knows the model's context and refuses what exceeds it.
    forcing = forcing_for(sampling.thinking, tokenizer, way.format, context_of(tokenizer), name)
    prompt = prompt_tokens(tokenizer, way.format, state)
    made, is_forced = await forced_step(with_ids, forcing, tokenizer, way.format, state, prompt, sampling.max_tokens)
    return unread_step(made) if is_forced else way.step(state, made)


def context_of(tokenizer: Any) -> float:
    """The context that the tokenizer's files name; transformers has a huge number where they name none."""
    return float(tokenizer.model_max_length) if tokenizer.model_max_length < 10**9 else float("inf")


def native_budget(way: Way, thinking: ThinkingBudget | None, name: str) -> dict[str, Any]:
    """The field of a request by which the server limits thoughts itself; none without a budget.

    Raises:
        TreestarError: the server cannot be held to the budget.
    """
    if thinking is None:
        return {}
    if way.name != "whole" or thinking.max_tokens is None or thinking.min_tokens or thinking.waits:
        raise TreestarError(
            f"{name} cannot be held to a thinking budget, because the server does not continue token ids: leave "
            "max_thinking_tokens, min_thinking_tokens and waits out, or have the model's tokenizer on this machine and "
            "a server with /completions"
        )
    return {"thinking_token_budget": thinking.max_tokens}
