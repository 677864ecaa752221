"""Tokens of prompts and steps, for every backend that has the model's tokenizer at hand."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from treestar.policy.formats import StepFormat, missing_bos
from treestar.types import State

__all__ = ["encode", "first_tokens", "prompt_tokens"]


def prompt_tokens(tokenizer: Any, step_format: StepFormat, state: State) -> list[int]:
    """What the model reads for `state`: the tokens of the format's pieces, those of steps as they were generated, with
    exactly one beginning-of-sequence token if the model wants one."""
    pieces = step_format.pieces(state)
    ids = [token for piece in pieces for token in piece.token_ids or encode(tokenizer, piece.text)]
    return missing_bos(tokenizer, ids) + ids


def encode(tokenizer: Any, text: str) -> list[int]:
    """The tokens of `text`, without those that begin or end a sequence."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def first_tokens(tokenizer: Any, ids: tuple[int, ...], text: str) -> tuple[int, ...]:
    """The first of the tokens `ids`, as many as spell `text`, with which theirs begins; () if it ends within one."""

    def spelled(count: int) -> str:
        return str(tokenizer.decode(list(ids[:count]), skip_special_tokens=False))

    if spelled(len(ids)) == text:
        return ids
    count = bisect_left(range(len(ids)), len(text), key=lambda each: len(spelled(each)))
    return ids[:count] if spelled(count) == text else ()
