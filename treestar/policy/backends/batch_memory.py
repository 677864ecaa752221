"""How many tokens a batch may hold, so that their keys and values leave room in memory for everything else.

A batch stores the keys and values of its prompts as one tensor as wide as the longest of them. Without a limit, 128
prompts of which one is long take 10 GB for a model of 135 million parameters.
"""

from __future__ import annotations

from typing import Any

from treestar.machine import available_memory
from treestar.policy.models import text_config

__all__ = ["columns_at_once", "tokens_that_fit"]

SHARE_OF_MAIN_MEMORY = 1 / 16
"""Copying and growing take several times as much for a moment, a PPM needs room, too, and so do other programs."""
SHARE_OF_GPU_MEMORY = 1 / 8
SHARE_TO_READ = 1 / 4
"""Of the tokens that fit: how many are read together, with what is known of their sequences."""


def tokens_that_fit(model: Any) -> int:
    """The tokens of all prompts and continuations of a batch, padding included."""
    if model.device.type == "cuda":
        import torch

        memory = torch.cuda.get_device_properties(model.device).total_memory * SHARE_OF_GPU_MEMORY
    else:
        memory = available_memory() * SHARE_OF_MAIN_MEMORY
    return int(memory / bytes_per_token(model))


def columns_at_once(model: Any) -> int:
    """The tokens of sequences that are read together, also of their parts in the prefix cache."""
    return int(tokens_that_fit(model) * SHARE_TO_READ)


def bytes_per_token(model: Any) -> int:
    """Of the keys and values of one token. For a model whose layers differ it is at least what they take."""
    config = text_config(model.config)
    heads = largest(config, "num_attention_heads") or 1
    key_heads = largest(config, "num_key_value_heads") or heads
    dimension = largest(config, "head_dim") or config.hidden_size // heads
    of_number: int = model.dtype.itemsize
    return (largest(config, "num_hidden_layers") or 1) * 2 * key_heads * dimension * of_number


def largest(config: Any, name: str) -> int | None:
    """A number of the configuration, the largest where it has one for each layer; None if it does not have it."""
    found: int | list[int] | None = getattr(config, name, None)
    return max(found) if isinstance(found, list) else found
