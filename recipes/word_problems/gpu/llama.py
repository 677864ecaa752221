"""A Llama for one GPU: weights in a dictionary, a forward pass over rows of equal length, and a small adapter.

transformers' model is made for everything. This one is made for one thing: reading hundreds of short rows at a time, of
which some tokens have a loss. What lies between the attentions is compiled once, for one number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, unflatten
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

__all__ = ["MATRICES", "Adapter", "Shape", "Weights", "hidden_states", "new_adapter", "rotation", "with_adapter"]

MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Weights = dict[str, Tensor]
"""By the names that transformers gives them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the weights do not say by themselves."""

    layers: int
    heads: int
    key_heads: int
    width: int
    """Of a head."""
    theta: float
    epsilon: float

    @classmethod
    def of(cls, config: Any) -> Shape:
        """Of a `LlamaConfig`."""
        return cls(
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            key_heads=config.num_key_value_heads,
            width=config.head_dim,
            theta=config.rope_parameters["rope_theta"],
            epsilon=config.rms_norm_eps,
        )


@dataclass(slots=True)
class Adapter:
    """A change of every matrix of the layers: `scale` times the product of two factors in float32."""

    factors: dict[str, tuple[Tensor, Tensor]]
    """By the matrix's name: shapes (outputs, rank) and (rank, inputs)."""
    scale: float

    def parameters(self) -> list[Tensor]:
        return [factor for pair in self.factors.values() for factor in pair]


def new_adapter(weights: Weights, rank: int, scale: float) -> Adapter:
    """An adapter that changes nothing yet: the first factor is zero, the second random with variance 1 / inputs."""
    factors = {}
    for name, weight in weights.items():
        if name.endswith(tuple(f"{matrix}.weight" for matrix in MATRICES)):
            outputs, inputs = weight.shape
            up = torch.zeros(outputs, rank, device=weight.device)
            down = torch.randn(rank, inputs, device=weight.device) / inputs**0.5
            factors[name] = (up.requires_grad_(), down.requires_grad_())
    return Adapter(factors, scale)


def with_adapter(weights: Weights, adapter: Adapter) -> Weights:
    """The weights with the adapter's product added, in their own dtype; differentiable for its factors.

    The gradient of a factor follows from its matrix's, so that a pass costs what it costs without an adapter.
    """
    changed = {
        name: (weights[name].float() + adapter.scale * (up @ down)).to(weights[name].dtype)
        for name, (up, down) in adapter.factors.items()
    }
    return {**weights, **changed}


def rotation(positions: Tensor, shape: Shape) -> Tensor:
    """Cosines and sines of rotary embeddings, in float32.

    Args:
        positions: shape (tokens,).

    Returns:
        Shape (2, tokens, width).
    """
    steps = torch.arange(0, shape.width, 2, device=positions.device) / shape.width
    angles = positions[..., None].float() / shape.theta**steps
    angles = torch.cat([angles, angles], -1)
    return torch.stack([angles.cos(), angles.sin()])


def rotated(states: Tensor, turn: Tensor) -> Tensor:
    """Queries or keys of shape (tokens, heads, width), turned by a `rotation`."""
    cosines, sines = turn.to(states.dtype).unsqueeze(-2).unbind()
    first, second = states.chunk(2, -1)
    return states * cosines + torch.cat([-second, first], -1) * sines


def before_attention(states: Tensor, layer: Weights, turn: Tensor, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, shapes (tokens, heads, width)."""
    normed = rms_norm(states, states.shape[-1:], layer["input_layernorm"], shape.epsilon)
    queries, keys, values = (
        unflatten(linear(normed, layer[name]), -1, (-1, shape.width)) for name in ("q_proj", "k_proj", "v_proj")
    )
    return rotated(queries, turn), rotated(keys, turn), values


def after_attention(states: Tensor, attended: Tensor, layer: Weights, shape: Shape) -> Tensor:
    """The layer's output, shape (tokens, hidden)."""
    states = states + linear(attended.flatten(-2), layer["o_proj"])
    normed = rms_norm(states, states.shape[-1:], layer["post_attention_layernorm"], shape.epsilon)
    inner = silu(linear(normed, layer["gate_proj"])) * linear(normed, layer["up_proj"])
    return states + linear(inner, layer["down_proj"])


def layer_weights(weights: Weights, index: int) -> Weights:
    """The weights of one layer by their short names."""
    prefix = f"model.layers.{index}."
    names = {matrix: f"{'self_attn' if matrix[0] in 'qkvo' else 'mlp'}.{matrix}" for matrix in MATRICES}
    names |= {norm: norm for norm in ("input_layernorm", "post_attention_layernorm")}
    return {short: weights[f"{prefix}{name}.weight"] for short, name in names.items()}


compiled_before = torch.compile(before_attention, dynamic=False)
compiled_after = torch.compile(after_attention, dynamic=False)


def hidden_states(weights: Weights, ids: Tensor, shape: Shape, compiled: bool = False) -> Tensor:
    """What the output layer reads at every token.

    Args:
        ids: shape (rows, columns), padded on the right.
        compiled: for many passes over the same number of tokens.

    Returns:
        Shape (rows, columns, hidden).
    """
    rows, columns = ids.shape
    before, after = (compiled_before, compiled_after) if compiled else (before_attention, after_attention)
    turn = rotation(torch.arange(columns, device=ids.device), shape).repeat(1, rows, 1)
    states = weights["model.embed_tokens.weight"][ids.flatten()]
    for index in range(shape.layers):
        layer = layer_weights(weights, index)
        queries, keys, values = (
            unflatten(each, 0, (rows, columns)).transpose(1, 2) for each in before(states, layer, turn, shape)
        )
        attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        states = after(states, attended.transpose(1, 2).flatten(0, 1), layer, shape)
    states = rms_norm(states, states.shape[-1:], weights["model.norm.weight"], shape.epsilon)
    return unflatten(states, 0, (rows, columns))
