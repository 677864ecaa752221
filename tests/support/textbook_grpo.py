"""GRPO as the papers write it, for one batch: the loss that TRL's must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def log_probabilities(model: Any, prompt: Sequence[int], completion: Sequence[int], temperature: float) -> torch.Tensor:
    """Of the tokens of the completion, shape (tokens,)."""
    ids = torch.tensor([[*prompt, *completion]])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]


def textbook_loss(
    rows: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int], float]],
    policy: Any,
    old: Any,
    reference: Any,
    *,
    loss_type: str,
    epsilon_low: float,
    epsilon_high: float,
    beta: float,
    max_tokens: int,
    temperature: float,
) -> float:
    """DeepSeekMath, equations 3 and 4, with DAPO's clip-higher and the normalization of each loss type.

    Args:
        rows: prompt, completion, which tokens of it the policy wrote, and the advantage.
    """
    sums, lengths = [], []
    for prompt, completion, own, advantage in rows:
        new = log_probabilities(policy, prompt, completion, temperature)
        ratio = (new - log_probabilities(old, prompt, completion, temperature)).exp()
        clipped = ratio.clamp(1 - epsilon_low, 1 + epsilon_high)
        objective = torch.minimum(ratio * advantage, clipped * advantage)
        difference = log_probabilities(reference, prompt, completion, temperature) - new
        divergence = (difference.exp() - difference - 1) * ratio  # unbiased also for the old policy's samples
        sums.append(((objective - beta * divergence) * torch.tensor(own)).sum())
        lengths.append(sum(own))
    if loss_type == "grpo":
        mean = sum(total / length for total, length in zip(sums, lengths, strict=True)) / len(rows)
    elif loss_type == "dapo":
        mean = sum(sums) / sum(lengths)
    else:
        mean = sum(sums) / (len(rows) * max_tokens)
    return -float(mean)
