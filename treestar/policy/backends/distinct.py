"""Distinct candidates: sampling continuations without replacement (stochastic beam search; Kool et al. 2019).

A small policy is often nearly certain of a step, and independent samples are then all the same. Here no continuation
appears twice. Each continuation has a key, its log-probability plus Gumbel noise, and the n with the highest
keys are a sample without replacement. They are found like the beams of a beam search: a beginning's key is the highest
of all its continuations' keys, so the n best beginnings of one length hold the n best of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from treestar.policy.backends.sampling import check_log_probabilities, sampling_probabilities

if TYPE_CHECKING:
    import torch

    from treestar.types import Sampling

__all__ = ["Beam", "Branch", "NextTokens", "extend", "next_tokens"]

Floats = NDArray[np.float64]

MOST_TOKENS = 64
"""Only the most probable tokens at each position take part, which bounds the noise to be drawn for a large vocabulary.
The others have almost no probability."""


@dataclass(frozen=True, slots=True)
class Beam:
    """A beginning of a continuation."""

    log_share: float = 0.0
    """Log of its probability under the sampling's temperature and top_p."""
    key: float = 0.0
    """The highest key of its continuations. That of the empty beginning is arbitrary: only differences count."""


@dataclass(frozen=True, slots=True)
class NextTokens:
    """The possible next tokens of several beginnings: arrays of shape (beginnings, MOST_TOKENS or less)."""

    tokens: NDArray[np.int64]
    log_shares: Floats
    """Log-probabilities under the sampling's temperature and top_p; -inf for tokens that top_p excludes."""
    log_probabilities: Floats
    """The same at temperature 1."""

    def of(self, rows: slice) -> NextTokens:
        """The next tokens of some of the beginnings."""
        return NextTokens(self.tokens[rows], self.log_shares[rows], self.log_probabilities[rows])


@dataclass(frozen=True, slots=True)
class Branch:
    """A beginning that is one token longer than the beam `parent`."""

    parent: int
    token: int
    log_probability: float
    """Of the token, at temperature 1."""
    beam: Beam


def next_tokens(logits: torch.Tensor, samplings: Sequence[Sampling]) -> NextTokens:
    """The most probable next tokens of every row.

    Args:
        logits: shape (rows, vocabulary).
        samplings: one for each row, with temperatures above 0.

    Raises:
        TreestarError: logits are not numbers.
    """
    logits = logits.float()
    shares, tokens = sampling_probabilities(logits, samplings).topk(min(MOST_TOKENS, logits.shape[-1]))
    log_probabilities = logits.log_softmax(-1).gather(1, tokens).double().cpu().numpy()
    check_log_probabilities(log_probabilities[:, 0])
    return NextTokens(tokens.cpu().numpy(), shares.double().log().cpu().numpy(), log_probabilities)


def extend(
    beams: Sequence[Beam], following: NextTokens, ended: Sequence[Beam], n: int, min_share: float, noise: Floats
) -> tuple[list[Branch], list[int]]:
    """One more token: the `n` continuations with the highest keys, of those that have ended and those that continue.

    Args:
        beams: those that continue; `following` has a row for each.
        ended: continuations that are complete.
        min_share: drop what is less than this times as probable as the most probable, in [0, 1).
        noise: uniform in (0, 1), of the shape of `following`.

    Returns:
        The longer beginnings, by descending key, and the indices of `ended` that stay, in their order.
    """
    own_shares = np.array([beam.log_share for beam in beams])[:, None] + following.log_shares
    own_keys = conditional_keys(np.array([beam.key for beam in beams])[:, None], own_shares, noise)
    shares = np.concatenate([own_shares.ravel(), [beam.log_share for beam in ended]])
    keys = np.concatenate([own_keys.ravel(), [beam.key for beam in ended]])
    least = shares.max() + (log(min_share) if min_share > 0 else -np.inf)
    keys[shares < least] = -np.inf
    best = [int(place) for place in np.argsort(-keys, kind="stable")[:n] if keys[place] > -np.inf]
    width = own_keys.shape[1]
    branches = [
        Branch(
            place // width,
            int(following.tokens[place // width, place % width]),
            float(following.log_probabilities[place // width, place % width]),
            Beam(float(shares[place]), float(keys[place])),
        )
        for place in best
        if place < own_keys.size
    ]
    return branches, sorted(place - own_keys.size for place in best if place >= own_keys.size)


def conditional_keys(highest: Floats, log_shares: Floats, noise: Floats) -> Floats:
    """Keys of the continuations of each beginning, given that the highest of them is the beginning's own.

    Kool et al. 2019, equation 9 and appendix B.3: independent Gumbel noise, shifted so that the maximum fits.

    Args:
        highest: shape (beginnings, 1).
        log_shares, noise: shape (beginnings, continuations).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gumbel = log_shares - np.log(-np.log(noise))
        largest = gumbel.max(axis=1, keepdims=True)
        v = highest - gumbel + np.log1p(-np.exp(gumbel - largest))
        keys: Floats = highest - np.maximum(v, 0.0) - np.log1p(np.exp(-np.abs(v)))
    keys[log_shares == -np.inf] = -np.inf
    return keys
