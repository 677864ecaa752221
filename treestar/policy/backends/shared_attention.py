"""Attention over prompts that several rows of a batch continue: a prompt's keys and values are read once for all.

On a CPU as on a GPU, attention in decoding waits for the memory: for every row all its keys and values have to come in.
The candidates of a state share all but their own few tokens (the idea of cascade attention; Ye et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from treestar.types import TreestarError

__all__ = ["SharedPrompts", "share_prompts"]

IMPLEMENTATION = "treestar_shared_prompts"


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
    """The how manieth of its prompt's rows each row is, shape (rows,)."""
    most: int
    """Most rows of one prompt."""

    def by_prompt(self, of_rows: torch.Tensor) -> torch.Tensor:
        """(rows, heads, n, m) to (prompts, heads, most * n, m); what a prompt lacks in rows is 0."""
        _, heads, n, m = of_rows.shape
        padded = of_rows.new_zeros(len(self.mask), self.most, heads, n, m)
        padded[self.places, self.slots] = of_rows
        return padded.transpose(1, 2).flatten(2, 3)

    def by_row(self, of_prompts: torch.Tensor) -> torch.Tensor:
        """The way back."""
        prompts, heads, rows, m = of_prompts.shape
        of_slots = of_prompts.view(prompts, heads, self.most, rows // self.most, m)
        return of_slots.transpose(1, 2)[self.places, self.slots]


def share_prompts(model: Any, name: str) -> None:
    """Have `model` take `shared_prompts`, a `SharedPrompts`, among its arguments; without it, it computes as ever.

    Raises:
        TreestarError: the model computes its attention in a way of its own.
    """
    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    if not model._supports_attention_backend:
        raise TreestarError(
            f"{name}: {type(model).__name__} computes attention in a way of its own, which the transformers backend "
            f"cannot batch; use vllm:{name}"
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
    """transformers' attention interface. With `shared_prompts`, every row has one query, which sees its prompt and of
    `key` what the mask, shape (rows, 1, 1, columns), lets it see.

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
    # Heads that share keys and values stand side by side.
    query = query.reshape(rows, key.shape[1], -1, dimension) * (dimension**-0.5 if scaling is None else scaling)
    of_prompt = shared_prompts.by_row(shared_prompts.by_prompt(query) @ prompt_keys.mT)
    logits = torch.cat([of_prompt, query @ key.mT], dim=-1)
    if arguments.get("softcap") is not None:
        logits = arguments["softcap"] * torch.tanh(logits / arguments["softcap"])
    visible = torch.cat([shared_prompts.mask[shared_prompts.places][:, None, None], attention_mask], dim=-1)
    weights = logits.masked_fill(~visible, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
    columns = prompt_keys.shape[2]
    of_prompt = shared_prompts.by_row(shared_prompts.by_prompt(weights[..., :columns]) @ prompt_values)
    output = of_prompt + weights[..., columns:] @ value
    return output.reshape(rows, 1, heads, dimension), None
