"""Attention over prompts that several rows of a batch continue: each prompt's keys and values are read only once.

On CPUs and GPUs alike, attention in decoding is bound by memory: it has to load all keys and values of every row. The
candidates of a state share all but their own few tokens (the idea of cascade attention; Ye et al. 2024).
"""

from __future__ import annotations

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
    """The prompts of a decoding batch, and which of them each row continues."""

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
    """Have `model` take `shared_prompts`, a `SharedPrompts`, among its arguments; without it, nothing changes.

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
    shared_prompts: SharedPrompts | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. With `shared_prompts`, every row has one query, which sees its prompt and the
    part of `key` that the mask, shape (rows, 1, 1, columns), exposes; of these, in a layer with a `sliding_window` the
    last tokens.

    Returns:
        Shape (rows, queries, heads, head dimension).
    """
    if shared_prompts is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **arguments
        )
        return output, None
    assert attention_mask is not None
    prompt_keys, prompt_values = shared_prompts.keys_values[module.layer_idx]
    rows, heads, _, dimension = query.shape
    # Heads that share keys and values are next to each other.
    query = query.reshape(rows, key.shape[1], -1, dimension) * (dimension**-0.5 if scaling is None else scaling)
    of_prompt = shared_prompts.by_row(products(shared_prompts.by_prompt(query), prompt_keys))
    logits = torch.cat([of_prompt, products(query, key)], dim=-1)
    if arguments.get("softcap") is not None:
        logits = arguments["softcap"] * torch.tanh(logits / arguments["softcap"])
    visible = torch.cat([shared_prompts.mask[shared_prompts.places][:, None, None], attention_mask], dim=-1)
    window = arguments.get("sliding_window")
    if window is not None:
        visible &= visible.flip(-1).cumsum(-1).flip(-1) <= window  # columns are in order, some between them unused
    weights = logits.masked_fill(~visible, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
    columns = prompt_keys.shape[2]
    of_prompt = shared_prompts.by_row(shared_prompts.by_prompt(weights[..., :columns]) @ prompt_values)
    output = of_prompt + weights[..., columns:] @ value
    return output.reshape(rows, 1, heads, dimension), None


def products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Every query with every key, shape (..., queries, keys). On a CPU torch copies a transposed bfloat16 operand, so
    the few queries are transposed, not the keys."""
    return (keys @ queries.mT).mT
