"""The tokens with which a model ends its reply. Files of models do not agree on them: the generation_config of a base
model, or of a model made from one, often names only the end of a document, and not the end of a turn."""

from __future__ import annotations

from typing import Any

from treestar.policy.backends.prompt_tokens import encode
from treestar.policy.formats import StepFormat
from treestar.types import Problem, State

__all__ = ["end_tokens"]

REPLY = "The answer is 4."
CONVERSATION = [{"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": REPLY}]


def end_tokens(tokenizer: Any, step_format: StepFormat, generation: Any = None) -> set[int]:
    """The tokens that end what a policy writes: padding, the tokenizer's own end, those that the model's
    `GenerationConfig` names, and for a format of messages the one that ends a turn in the chat template."""
    named = getattr(generation, "eos_token_id", None)
    ends = [tokenizer.pad_token_id, tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])]
    if step_format.messages(State(Problem(""))) is not None:
        ends.append(end_of_turn(tokenizer))
    return {end for end in ends if end is not None}


def end_of_turn(tokenizer: Any) -> int | None:
    """The first special token that the chat template writes after a reply; None without one."""
    if tokenizer.chat_template is None:
        return None
    try:
        text = str(tokenizer.apply_chat_template(CONVERSATION, tokenize=False))
    except Exception:  # a template may raise anything
        return None
    _, found, after = text.rpartition(REPLY)
    special = {token for token, each in tokenizer.added_tokens_decoder.items() if each.special}
    return next((token for token in encode(tokenizer, after) if token in special), None) if found else None
