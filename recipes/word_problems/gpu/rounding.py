"""An adapter is trained as it will be stored: its factors are rounded to float8 on the way, their gradients are not."""

from __future__ import annotations

import torch
from torch import Tensor

from recipes.word_problems.gpu.llama import Adapter

__all__ = ["rounded"]

FACTOR = 2.0**9
"""Brings the factors into float8's range; a power of two, so that `float8.py` rounds to the same numbers."""

FLOAT8 = torch.float8_e4m3fn


def rounded(adapter: Adapter) -> Adapter:
    """The adapter with rounded factors, through which gradients pass unchanged."""
    return Adapter(
        {name: (straight_through(up), straight_through(down)) for name, (up, down) in adapter.factors.items()},
        adapter.scale,
    )


def straight_through(factor: Tensor) -> Tensor:
    largest = torch.finfo(FLOAT8).max
    near = (factor.detach() * FACTOR).clamp(-largest, largest).to(FLOAT8).to(factor.dtype) / FACTOR
    return factor + (near - factor).detach()
