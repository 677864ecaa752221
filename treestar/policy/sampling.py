"""Sampling inside `generate` with random numbers of each sequence's own, so that a sequence does not depend on what
shares its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import LogitsProcessor

if TYPE_CHECKING:
    import torch

    from treestar.types import Sampling

__all__ = ["SeededSampling", "uniforms"]


def uniforms(seed: int, index: int, count: int) -> list[float]:
    """The `count` random numbers in [0, 1) of candidate `index` of a request with `seed`."""
    import numpy

    return [float(number) for number in numpy.random.default_rng([seed, index]).random(count)]


class SeededSampling(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Chooses every token itself, by inverting the cumulative distribution at the row's next random number, and leaves
    `generate`'s greedy choice only that token. Records what each choice was worth to the model.

    Args:
        samplings: one for each row.
        numbers: shape (rows, at least the new tokens), in [0, 1).
        prompt_length: tokens of the padded prompt.
    """

    def __init__(self, samplings: list[Sampling], numbers: torch.Tensor, prompt_length: int) -> None:
        import torch

        device = numbers.device
        self.greedy = torch.tensor([each.temperature == 0 for each in samplings], device=device)
        self.temperature = torch.tensor([each.temperature or 1.0 for each in samplings], device=device)[:, None]
        self.top_p = torch.tensor([each.top_p for each in samplings], device=device)[:, None]
        self.truncates = any(each.top_p < 1 for each in samplings)
        self.numbers = numbers
        self.prompt_length = prompt_length
        self.log_probabilities: list[torch.Tensor] = []
        """For each new position the chosen tokens' log-probabilities at temperature 1, shape (rows,)."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        logits = scores.float()
        numbers = self.numbers[:, input_ids.shape[1] - self.prompt_length, None]
        probabilities = (logits / self.temperature).softmax(-1)
        if self.truncates:
            probabilities = keep_nucleus(probabilities, self.top_p)
        cumulative = probabilities.cumsum(-1)
        drawn = torch.searchsorted(cumulative, numbers * cumulative[:, -1:], right=True)
        drawn = drawn.clamp(max=logits.shape[-1] - 1)
        chosen = torch.where(self.greedy[:, None], logits.argmax(-1, keepdim=True), drawn)
        self.log_probabilities.append(logits.log_softmax(-1).gather(1, chosen)[:, 0])
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)


def keep_nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Zero all but each row's most probable tokens that together reach `top_p` (Holtzman et al. 2019)."""
    ordered, order = probabilities.sort(-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    return ordered.new_zeros(ordered.shape).scatter_(1, order, ordered)
