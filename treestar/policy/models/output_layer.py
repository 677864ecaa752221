"""The layer from a model's last hidden states to logits, which is a third of a small model."""

from __future__ import annotations

from typing import Any

__all__ = ["read_positions_at_once"]


def read_positions_at_once(model: Any) -> None:
    """Have the output layer of `model` copy its input where that is a strided view, such as some positions of many
    sequences. Else torch multiplies sequence by sequence if the layer is not trained, and in bfloat16 on a CPU copies
    the vocabulary's matrix for each of them."""
    model.get_output_embeddings().register_forward_pre_hook(contiguous)


def contiguous(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.contiguous() for each in inputs)
