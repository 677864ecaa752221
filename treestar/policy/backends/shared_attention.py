"""Attention over prompts that several rows of a batch continue: each prompt's keys and values are read only once.

On CPUs and GPUs alike, attention in decoding is bound by memory: it has to load all keys and values of every row. The
candidates of a state share all but their own few tokens (the idea of cascade attention; Ye et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from treestar.policy.models import text_config
from treestar.types import TreestarError

__all__ = ["SharedPrompts", "share_prompts"]

IMPLEMENTATION = "treestar_shared_prompts"

LAYERS = ("full_attention", "sliding_attention", "chunked_attention")
"""Kinds of layers whose keys and values can be shared."""


@dataclass(frozen=True, slots=True)
class SharedPrompts:
    """Prompts of a decoding batch that are read together, and which of them each row continues."""

    rows: torch.Tensor | slice
    """The rows of the batch that continue these prompts."""
    keys_values: torch.Tensor
    """Shape (layers, 2, prompts, heads, columns, head dimension)."""
    mask: torch.Tensor
    """Which columns a prompt fills, shape (prompts, columns), bool."""
    places: torch.Tensor
    """Each row's prompt, shape (rows,)."""
    slots: torch.Tensor
    """Each row's index among the rows of its prompt, shape (rows,)."""
    most: int
    """Maximum number of rows of one prompt."""

    def by_prompt(self, of_rows: torch.Tensor) -> torch.Tensor:
        """(rows, heads, n, m) to (prompts, heads, most * n, m); missing rows of a prompt are 0."""
        _, heads, n, m = of_rows.shape
        padded = of_rows.new_zeros(len(self.mask), self.most, heads, n, m)
        padded[self.places, self.slots] = of_rows
        return padded.transpose(1, 2).flatten(2, 3)

    def by_row(self, of_prompts: torch.Tensor) -> torch.Tensor:
        """The inverse of `by_prompt`."""
        prompts, heads, rows, m = of_prompts.shape
        of_slots = of_prompts.view(prompts, heads, self.most, rows // self.most, m)
        return of_slots.transpose(1, 2)[self.places, self.slots]


def share_prompts(model: Any, name: str) -> None:
    """Have `model` take `shared_prompts`, several `SharedPrompts`, among its arguments; without it, nothing changes.

    Raises:
        TreestarError: the model has its own attention implementation, attention sinks (gpt-oss), which would be lost,
            or layers without attention (LFM2).
    """
    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    if not model._supports_attention_backend:
        raise TreestarError(
            f"{name}: {type(model).__name__} has its own attention implementation, which the transformers backend "
            f"cannot batch; use vllm:{name}"
        )
    found = "attention sinks" if any(getattr(module, "sinks", None) is not None for module in model.modules()) else ""
    others = set(getattr(text_config(model.config), "layer_types", None) or ()).difference(LAYERS)
    found = f"layers of {min(others)}" if others else found
    if found:
        raise TreestarError(
            f"{name}: {type(model).__name__} has {found}, which the transformers backend does not know; use vllm:{name}"
        )
    model.set_attn_implementation(IMPLEMENTATION)


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared_prompts: Sequence[SharedPrompts] | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. With `shared_prompts`, which have every row once, a row has one query. It sees
    its prompt and the part of `key` that the mask, shape (rows, 1, 1, columns), exposes; of these, in a layer with a
    `sliding_window` the last tokens.

    Returns:
        Shape (rows, queries, heads, head dimension).
    """
    if shared_prompts is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **arguments
        )
        return output, None
    assert attention_mask is not None
    rows, heads, _, dimension = query.shape
    # Heads that share keys and values are next to each other.
    query = query.reshape(rows, key.shape[1], -1, dimension) * (dimension**-0.5 if scaling is None else scaling)
    own_logits = products(query, key)
    output, own_weights = torch.empty_like(query), torch.empty_like(own_logits)
    for part in shared_prompts:
        keys, values = part.keys_values[module.layer_idx]
        of_prompt = part.by_row(products(part.by_prompt(query[part.rows]), keys))
        logits = torch.cat([of_prompt, own_logits[part.rows]], dim=-1)
        if arguments.get("softcap") is not None:
            logits = arguments["softcap"] * torch.tanh(logits / arguments["softcap"])
        visible = torch.cat([part.mask[part.places][:, None, None], attention_mask[part.rows]], dim=-1)
        window = arguments.get("sliding_window")
        if window is not None:
            visible &= visible.flip(-1).cumsum(-1).flip(-1) <= window  # columns are in order, some between them unused
        weights = logits.masked_fill(~visible, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
        columns = keys.shape[2]
        output[part.rows] = part.by_row(part.by_prompt(weights[..., :columns]) @ values)
        own_weights[part.rows] = weights[..., columns:]
    output += own_weights @ value
    return output.reshape(rows, 1, heads, dimension), None


def products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Every query with every key, shape (..., queries, keys). On a CPU torch copies a transposed bfloat16 operand, so
    the few queries are transposed, not the keys."""
    return (keys @ queries.mT).mT
