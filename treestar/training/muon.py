"""Muon for a model's matrices and AdamW for the rest, as one optimizer for transformers' Trainer.

Muon (Jordan et al. 2024) makes each update of a matrix orthogonal. A small model learns to compare names across a text
in a fraction of the steps that AdamW needs; docs/measurements.md has figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["MuonWithAdamW"]

OTHER_RATE = 0.5
"""AdamW's learning rate for embeddings, norms and heads, as a fraction of Muon's."""

WEIGHT_DECAY = 0.01
"""Weight decay of the matrices; that of all other weights is 0."""


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that look like one to a learning-rate schedule, a checkpoint and a trainer.

    Args:
        model: Muon updates the matrices of its layers; AdamW updates embeddings, heads and everything that is not a
            matrix.
        learning_rate: Muon's, scaled to the size of AdamW's updates (`match_rms_adamw`); AdamW's is OTHER_RATE of it.
    """

    def __init__(self, model: Any, learning_rate: float) -> None:
        outer = {id(weight) for module in ends_of(model) for weight in module.parameters()}
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        matrices = [weight for weight in trained if weight.ndim == 2 and id(weight) not in outer]
        inner = {id(weight) for weight in matrices}
        others = [weight for weight in trained if id(weight) not in inner]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(
                torch.optim.Muon(matrices, lr=learning_rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
            )
        if others:  # with LoRA there are none
            self.parts.append(
                torch.optim.AdamW(others, lr=OTHER_RATE * learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
            )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        # The same objects as in the two optimizers, so that a schedule that changes their rates changes both.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def ends_of(model: Any) -> list[Any]:
    """The modules before and after a transformer's layers: embeddings and heads."""
    head = model.get_output_embeddings() or getattr(model, "score", None)
    return [each for each in (model.get_input_embeddings(), head) if each is not None]
