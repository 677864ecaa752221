"""Sampling in which every sequence has its own random numbers, so that it does not depend on the rest of its batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import TYPE_CHECKING

from treestar.types import Sampling, TreestarError

if TYPE_CHECKING:
    import torch

__all__ = [
    "check_log_probabilities",
    "choose_tokens",
    "confidences",
    "refuse_distinct",
    "request_seed",
    "sampling_probabilities",
    "uniforms",
]


def uniforms(seed: int, index: int, count: int) -> list[float]:
    """The `count` random numbers in [0, 1) of candidate `index` of a request with `seed`."""
    import numpy

    return [float(number) for number in numpy.random.default_rng([seed, index]).random(count)]


def refuse_distinct(sampling: Sampling, name: str) -> None:
    """Raises TreestarError if `sampling` asks for distinct candidates, for policies that do not support them."""
    if sampling.distinct:
        raise TreestarError(
            f"{name} cannot draw distinct candidates: leave `distinct` off, or let transformers compute the model"
        )


def request_seed(seed: int, index: int, *part: int) -> int:
    """The seed in [0, 2^31) of candidate `index`, or of a further part of it, for a separate request."""
    import numpy

    return int(numpy.random.SeedSequence([seed, index, *part]).generate_state(1)[0] >> 1)


def check_log_probabilities(computed: Iterable[float]) -> None:
    """Raises TreestarError if a log-probability is not a number: the tokens drawn by it would be arbitrary."""
    if any(map(isnan, computed)):
        raise TreestarError(
            "the policy's model computes probabilities that are not numbers: its weights are damaged, or its values "
            "exceed its data type (float16 holds the smallest ones; bfloat16 and float32 hold larger ones)"
        )


def choose_tokens(
    logits: torch.Tensor, samplings: Sequence[Sampling], numbers: Sequence[float]
) -> tuple[list[int], list[float]]:
    """The next token of every row, by inverting the cumulative distribution at the row's random number.

    Args:
        logits: shape (rows, vocabulary).
        samplings: one for each row.
        numbers: one for each row, in [0, 1).

    Returns:
        The tokens, and their log-probabilities at temperature 1.

    Raises:
        TreestarError: logits are not numbers.
    """
    import torch

    logits = logits.float()
    greedy = torch.tensor([each.temperature == 0 for each in samplings], device=logits.device)[:, None]
    cumulative = sampling_probabilities(logits, samplings).cumsum(-1)
    heights = torch.tensor(numbers, device=logits.device)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, heights, right=True).clamp(max=logits.shape[-1] - 1)
    chosen = torch.where(greedy, logits.argmax(-1, keepdim=True), drawn)
    log_probabilities: list[float] = logits.log_softmax(-1).gather(1, chosen)[:, 0].tolist()
    check_log_probabilities(log_probabilities)
    return chosen[:, 0].tolist(), log_probabilities


def confidences(logits: torch.Tensor, samplings: Sequence[Sampling]) -> list[float]:
    """Each row's confidence in its next token (`Sampling.confidence_top`, which every row asks for).

    Args:
        logits: shape (rows, vocabulary).
    """
    counts = [min(each.confidence_top, logits.shape[-1]) for each in samplings]
    top = logits.float().log_softmax(-1).topk(max(counts)).values
    return [-float(row[:count].mean()) for row, count in zip(top, counts, strict=True)]


def sampling_probabilities(logits: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """The next token's probabilities under temperature, top_k, top_p and min_p, shape (rows, vocabulary), excluded in
    this order, as in transformers. At temperature 0 they are those at 1. Where tokens are excluded, a row sums to less
    than 1."""
    import torch

    temperature = torch.tensor([each.temperature or 1.0 for each in samplings], device=logits.device)[:, None]
    probabilities = (logits / temperature).softmax(-1)
    if any(each.top_k for each in samplings):
        probabilities = keep_most_probable(probabilities, [each.top_k for each in samplings])
    if any(each.top_p < 1 for each in samplings):
        top_p = torch.tensor([each.top_p for each in samplings], device=logits.device)[:, None]
        probabilities = keep_nucleus(probabilities, top_p)
    if any(each.min_p for each in samplings):
        min_p = torch.tensor([each.min_p for each in samplings], device=logits.device)[:, None]
        probabilities = probabilities * (probabilities >= min_p * probabilities.amax(-1, keepdim=True))
    return probabilities


def keep_most_probable(probabilities: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Only each row's `counts` most probable tokens, and those as probable as the last of them, which then sum to 1; a
    count of 0 keeps all."""
    vocabulary = probabilities.shape[-1]
    ordered = probabilities.topk(min(max(counts), vocabulary)).values
    last = [min(count or vocabulary, vocabulary) - 1 for count in counts]
    rows = [row for row, count in enumerate(counts) if count]
    lowest = probabilities.new_zeros(probabilities.shape[0])
    lowest[rows] = ordered[rows, [last[row] for row in rows]]
    kept = probabilities * (probabilities >= lowest[:, None])
    kept[rows] /= kept[rows].sum(-1, keepdim=True)
    return kept


def keep_nucleus(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Zero all but each row's most probable tokens that together reach `top_p` (Holtzman et al. 2019)."""
    ordered, order = probabilities.sort(-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    return ordered.new_zeros(ordered.shape).scatter_(1, order, ordered)
