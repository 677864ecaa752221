"""Estimators of the score of k samples from n samples of one problem, and measures of similarity between two answers.

All functions are pure. The `@k` estimators are unbiased: their value is the expected score of k samples, over all ways
to draw k of the n samples without replacement. So one run of n samples is enough for every k <= n.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb, exp, lgamma, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_ANSWER",
    "Consensus",
    "best_of_k",
    "consensus_at_k",
    "exact_match",
    "pass_at_k",
    "token_f1",
    "weighted_vote_at_k",
]

NO_ANSWER = -1
"""The group of a sample that ended without an answer: it does not vote."""

PUNCTUATION = str.maketrans("", "", string.punctuation)

SUBSETS = 1000
"""Maximum number of subsets over which a weighted vote is averaged."""


def check_k(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and the number of samples, {n}, not {k}")


def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that at least one of k samples is right: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021, eq. 1).

    Stable for any n: a sum of logarithms of at most min(c, k) terms, without a binomial coefficient.

    Args:
        n: number of samples.
        c: number of right samples.
        k: number of samples drawn, at most n.

    Raises:
        ValueError: k is not in [1, n], or c not in [0, n].
    """
    check_k(n, k)
    if not 0 <= c <= n:
        raise ValueError(f"the number of right samples must be between 0 and {n}, not {c}")
    if n - c < k:
        return 1.0
    if c == 0:
        return 0.0  # Not -0.0.
    # C(n - c, k) / C(n, k) is symmetric in c and k.
    many, few = max(c, k), min(c, k)
    return float(-np.expm1(np.log1p(-many / (n - np.arange(few))).sum()))


class Consensus(NamedTuple):
    """The result of a majority vote of k samples."""

    accuracy: float
    """The probability that the majority's answer is right, in [0, 1]."""
    tied: float
    """The probability that two or more answers tie for first place, in [0, 1]."""


def consensus_at_k(groups: Sequence[int], right: Sequence[bool], k: int) -> Consensus:
    """Self-consistency with k samples (Wang et al. 2022): the most frequent answer.

    Exact, without drawing subsets: `first_places` counts them by outcome. A tie goes to the answer found first;
    over all orders of the samples each of t tied answers comes first in one of t, so a tie counts as the share of right
    answers among the tied ones.

    Args:
        groups: for each sample the index of its group of equivalent answers, or -1 if it has no answer.
        right: whether the answer of each group is right.
        k: samples that vote, at most `len(groups)`.

    Raises:
        ValueError: k is not in [1, n].
    """
    n = len(groups)
    check_k(n, k)
    sizes = Counter(groups)
    sizes.pop(NO_ANSWER, None)
    counts = [(size, bool(right[group])) for group, size in sorted(sizes.items())]
    accuracy = tied = 0.0
    for most in range(1, min(k, max(sizes.values(), default=0)) + 1):
        shares = first_places(counts, n, k, most)
        for wrong_first, right_first in np.ndindex(shares.shape):
            if wrong_first + right_first:
                accuracy += shares[wrong_first, right_first] * right_first / (wrong_first + right_first)
                tied += shares[wrong_first, right_first] * (wrong_first + right_first > 1)
    return Consensus(min(float(accuracy), 1.0), min(float(tied), 1.0))


def first_places(counts: Sequence[tuple[int, bool]], n: int, k: int, most: int) -> NDArray[np.float64]:
    """Share of the k-subsets of n samples in which the leading answers have exactly `most` votes.

    Entry [a, b] is for a wrong and b right answers with `most` votes each; [0, 0] (all have fewer) is meaningless here.
    A k-subset is what remains if every sample is kept with probability k / n, given that k remain: so the generating
    functions hold binomial probabilities instead of binomial coefficients, which never overflow.

    Args:
        counts: for each answer the number of samples that give it, and whether it is right.
    """
    contenders = [(size, is_right) for size, is_right in counts if size >= most]
    free = n - sum(size for size, _ in contenders)
    places = k // most
    table = np.zeros((k + 1, places + 1, min(places, sum(is_right for _, is_right in contenders)) + 1))
    rest = kept(free, k, n)[: k + 1]
    table[: len(rest), 0, 0] = rest
    for size, is_right in contenders:
        chances = kept(size, k, n)
        grown = np.zeros_like(table)
        for votes in np.flatnonzero(chances[:most]):
            grown[votes:] += chances[votes] * table[: k + 1 - votes]
        if is_right:
            grown[most:, :, 1:] += chances[most] * table[: k + 1 - most, :, :-1]
        else:
            grown[most:, 1:] += chances[most] * table[: k + 1 - most, :-1]
        table = grown
    shares: NDArray[np.float64] = table[k] / kept(n, k, n)[k]
    return shares


@lru_cache(maxsize=4096)
def kept(size: int, k: int, n: int) -> NDArray[np.float64]:
    """The binomial distribution of the number of `size` samples that remain if each is kept with probability k / n."""
    chances = np.zeros(size + 1)
    if k == n:
        chances[size] = 1.0
        return chances
    log_keep, log_drop = log(k / n), log1p(-k / n)
    for votes in range(size + 1):
        log_ways = lgamma(size + 1) - lgamma(votes + 1) - lgamma(size - votes + 1)
        chances[votes] = exp(log_ways + votes * log_keep + (size - votes) * log_drop)
    return chances


def best_of_k(scores: Sequence[float], right: Sequence[bool], k: int) -> float:
    """The probability that the highest-scored of k samples is right (best-of-n; Cobbe et al. 2021, verification).

    Exact: sorted by score, the i-th lowest of n is the highest of C(i - 1, k - 1) of the C(n, k) subsets. Equal scores
    count as the share of right samples among them. A sample without an answer has the score -inf and is wrong.

    Raises:
        ValueError: k is not in [1, n], or a score is not a number.
    """
    n = len(scores)
    check_k(n, k)
    values = np.asarray(scores, dtype=float)
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    order = np.argsort(values, kind="stable")
    # below[i]: the share of subsets that contain only the i lowest, C(i, k) / C(n, k).
    below = np.zeros(n + 1)
    below[n] = 1.0
    for i in range(n, k, -1):
        below[i - 1] = below[i] * (i - k) / i
    _, starts = np.unique(values[order], return_index=True)
    ends = np.append(starts[1:], n)
    sorted_right = np.asarray(right, dtype=float)[order]
    return float(
        sum(
            (below[end] - below[start]) * sorted_right[start:end].mean()
            for start, end in zip(starts, ends, strict=True)
        )
    )


def weighted_vote_at_k(
    groups: Sequence[int], right: Sequence[bool], weights: Sequence[float], k: int, seed: int = 0
) -> float:
    """The probability that the heaviest answer of k samples is right, each sample voting with its weight (weighted
    self-consistency; Li et al. 2023, DIVERSE).

    The mean over all subsets of k samples if there are at most `SUBSETS`, otherwise over that many random subsets,
    which is still unbiased. Equal weights count as the share of right answers among them.

    Args:
        groups: as in `consensus_at_k`.
        right: as in `consensus_at_k`.
        weights: weight of each sample, 0 or more.
        k: samples that vote, at most `len(groups)`.
        seed: seed of the random subsets.

    Raises:
        ValueError: k is not in [1, n].
    """
    n = len(groups)
    check_k(n, k)
    if not right:
        return 0.0
    if comb(n, k) <= SUBSETS:
        subsets = np.array(list(combinations(range(n), k)))
    else:
        subsets = np.random.default_rng(seed).random((SUBSETS, n)).argsort(axis=1)[:, :k]
    ballots = np.zeros((n, len(right)))
    for sample, group in enumerate(groups):
        if group != NO_ANSWER:
            ballots[sample, group] = weights[sample]
    drawn = np.zeros((len(subsets), n))
    np.put_along_axis(drawn, subsets, 1.0, axis=1)
    totals = drawn @ ballots
    heaviest = totals.max(axis=1, keepdims=True)
    leads = np.isclose(totals, heaviest, rtol=1e-9, atol=0.0) & (totals > 0)
    shares = (leads * np.asarray(right, dtype=float)).sum(axis=1) / np.maximum(leads.sum(axis=1), 1)
    return float(shares.mean())


def exact_match(answer: str | None, gold: str) -> float:
    """1 if the answers are the same after `normalized`, else 0 (Rajpurkar et al. 2016, SQuAD)."""
    return float(answer is not None and normalized(answer) == normalized(gold))


def token_f1(answer: str | None, gold: str) -> float:
    """Harmonic mean of precision and recall of the answer's words, with repetitions (Rajpurkar et al. 2016, SQuAD)."""
    found, wanted = normalized(answer or "").split(), normalized(gold).split()
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and repeated spaces, as in SQuAD's evaluation script; but a number
    keeps its sign and its decimal point, as in DROP's (Dua et al. 2019)."""
    words = [word if is_number(word) else word.translate(PUNCTUATION) for word in text.lower().split()]
    return " ".join(word for word in " ".join(words).split() if word not in ("a", "an", "the"))


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
