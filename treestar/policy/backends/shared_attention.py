"""Attention over prompts that several rows of a batch continue: each prompt's keys and values are read only once.

On CPUs and GPUs alike, attention in decoding is bound by memory: it has to load all keys and values of every row. The
candidates of a state share all but their own few tokens (the idea of cascade attention; Ye et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    in_order: bool
    """Whether every prompt has `most` rows, and the rows are in the order of the prompts and slots."""
    hidden_by_window: dict[int | None, torch.Tensor] = field(default_factory=dict)
    """What `hidden` has returned: it is the same in all layers with the same window."""

    @classmethod
    def of(
        cls, rows: Sequence[int] | slice, keys_values: torch.Tensor, lengths: Sequence[int], places: Sequence[int]
    ) -> SharedPrompts:
        """Prompts of these lengths, and the rows that continue them; see the attributes."""
        slots: list[int] = []
        counts = [0] * len(lengths)
        for place in places:
            slots.append(counts[place])
            counts[place] += 1
        most, device = max(counts), keys_values.device

        def on_device(numbers: Sequence[int]) -> torch.Tensor:
            return torch.tensor(numbers, dtype=torch.long, device=device)

        return cls(
            rows if isinstance(rows, slice) else on_device(rows),
            keys_values,
            torch.arange(keys_values.shape[4], device=device) < on_device(lengths)[:, None],
            on_device(places),
            on_device(slots),
            most,
            in_order=min(counts) == most and list(places) == sorted(places),
        )

    def by_prompt(self, of_rows: torch.Tensor) -> torch.Tensor:
        """(rows, heads, n, m) to (prompts, heads, most * n, m); missing rows of a prompt are 0."""
        _, heads, n, m = of_rows.shape
        shape = (len(self.mask), self.most, heads, n, m)
        if self.in_order:
            padded = of_rows.reshape(shape)
        else:
            padded = of_rows.new_zeros(shape)
            padded[self.places, self.slots] = of_rows
        return padded.transpose(1, 2).flatten(2, 3)

    def by_row(self, of_prompts: torch.Tensor) -> torch.Tensor:
        """The inverse of `by_prompt`."""
        prompts, heads, rows, m = of_prompts.shape
        of_slots = of_prompts.view(prompts, heads, self.most, rows // self.most, m).transpose(1, 2)
        return of_slots.flatten(0, 1) if self.in_order else of_slots[self.places, self.slots]

    def hidden(self, own_mask: torch.Tensor, window: int | None) -> torch.Tensor:
        """Which columns of its prompt and of its own tokens a row does not see, shape (rows, 1, 1, columns), bool.

        Args:
            own_mask: which of its own tokens every row of the batch sees, shape (batch, 1, 1, columns), bool.
            window: how many tokens back it sees at most.
        """
        if window not in self.hidden_by_window:
            visible = torch.cat([self.mask[self.places][:, None, None], own_mask[self.rows]], dim=-1)
            if window is not None:
                # Columns are in order, and some between them are not used.
                visible &= visible.flip(-1).cumsum(-1).flip(-1) <= window
            self.hidden_by_window[window] = ~visible
        return self.hidden_by_window[window]


def share_prompts(model: Any, name: str) -> None:
    """Have `model` take `shared_prompts`, several `SharedPrompts`, among its arguments; without it, nothing changes.

    Raises:
        TreestarError: the model has its own attention implementation, attention sinks (gpt-oss), which would be lost,
            or layers without attention (LFM2), or it is an encoder.
    """
    AttentionInterface.register(IMPLEMENTATION, attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
    if not model._supports_attention_backend:
        raise TreestarError(
            f"{name}: {type(model).__name__} has its own attention implementation, which the transformers backend "
            f"cannot batch; use vllm:{name}"
        )
    # Vision towers see in all directions too; their layers have no index, because nothing of them is cached.
    layers = [module for module in model.modules() if hasattr(module, "layer_idx")]
    if not all(getattr(module, "is_causal", True) for module in layers):
        raise TreestarError(
            f"{name}: {type(model).__name__} does not read from left to right, so it cannot continue a text: give a "
            "causal model (a decoder, such as Llama, Qwen or Gemma)"
        )
    found = "attention sinks" if any(getattr(module, "sinks", None) is not None for module in layers) else ""
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
    if shared_prompts is None and arguments.get("softcap") is not None:
        return capped(query, key, value, attention_mask, scaling, arguments["softcap"]), None
    if shared_prompts is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **arguments
        )
        return output, None
    assert attention_mask is not None
    rows, heads, _, dimension = query.shape
    # Heads that share keys and values are next to each other.
    query = query.reshape(rows, key.shape[1], -1, dimension) * (dimension**-0.5 if scaling is None else scaling)
    # Not all models hand it over (Qwen2-MoE).
    window = arguments["sliding_window"] if "sliding_window" in arguments else getattr(module, "sliding_window", None)
    own_logits = products(query, key)
    output, own_weights = torch.empty_like(query), torch.empty_like(own_logits)
    for part in shared_prompts:
        keys, values = part.keys_values[module.layer_idx]
        of_prompt = part.by_row(products(part.by_prompt(query[part.rows]), keys))
        logits = torch.cat([of_prompt, own_logits[part.rows]], dim=-1)
        if arguments.get("softcap") is not None:
            logits = arguments["softcap"] * torch.tanh(logits / arguments["softcap"])
        hidden = part.hidden(attention_mask, window)
        weights = logits.masked_fill(hidden, -torch.inf).softmax(-1, dtype=torch.float32).to(query.dtype)
        columns = keys.shape[2]
        output[part.rows] = part.by_row(part.by_prompt(weights[..., :columns]) @ values)
        own_weights[part.rows] = weights[..., columns:]
    output += own_weights @ value
    return output.reshape(rows, 1, heads, dimension), None


def capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    """Attention with capped logits (Gemma 2), which torch's own leaves out; shape (rows, queries, heads, dimension)."""
    rows, heads, queries, dimension = query.shape
    grouped = query.reshape(rows, key.shape[1], -1, dimension) * (dimension**-0.5 if scaling is None else scaling)
    logits = softcap * torch.tanh(products(grouped, key) / softcap)
    if mask is None:  # transformers leaves a mask out that only hides what comes later
        mask = torch.ones(queries, key.shape[2], dtype=torch.bool, device=key.device).tril(key.shape[2] - queries)
    logits = logits.reshape(rows, heads, queries, -1).masked_fill(~mask, torch.finfo(logits.dtype).min)
    weights = logits.softmax(-1, dtype=torch.float32).to(query.dtype).view(*grouped.shape[:3], -1)
    return (weights @ value).view(rows, heads, queries, dimension).transpose(1, 2)


def products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Every query with every key, shape (..., queries, keys). On a CPU torch copies a transposed bfloat16 operand, so
    the few queries are transposed, not the keys."""
    return (keys @ queries.mT).mT
