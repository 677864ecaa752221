"""Which problems are tried next. Depends only on the seed, the sampling's number and the pass rates so far."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

__all__ = ["PassRates", "drawn", "other_problems", "problems_of_sampling"]

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class PassRates:
    """How often each training problem was tried and solved."""

    tried: list[int]
    solved: list[int]

    @classmethod
    def unknown(cls, problems: int) -> PassRates:
        return cls([0] * problems, [0] * problems)

    def add(self, problem: int, tried: int, solved: int) -> None:
        self.tried[problem] += tried
        self.solved[problem] += solved

    def weights(self) -> list[float]:
        """For each problem p (1 - p), where p is its pass rate with one solved and one failed try added."""
        rates = [(solved + 1) / (tried + 2) for tried, solved in zip(self.tried, self.solved, strict=True)]
        return [rate * (1 - rate) for rate in rates]


def problems_of_sampling(number: int, count: int, rates: PassRates, by_pass_rate: bool, seed: int) -> list[int]:
    """The indices of the `count` problems that sampling `number`, from 0, tries first.

    Uniformly: every problem once, in an order that differs each time, before any of them again.
    """
    problems = len(rates.tried)
    if by_pass_rate:
        return drawn(range(problems), count, rates.weights(), Random(f"{seed} {number}"))
    places = range(number * count, (number + 1) * count)
    orders = {epoch: shuffled(problems, epoch, seed) for epoch in {place // problems for place in places}}
    return [orders[place // problems][place % problems] for place in places]


def other_problems(
    count: int, rates: PassRates, by_pass_rate: bool, random: Random, without: Collection[int]
) -> list[int]:
    """The indices of at most `count` problems that are tried instead of others, none of which is in `without`."""
    left = [problem for problem in range(len(rates.tried)) if problem not in without]
    if not by_pass_rate:
        return random.sample(left, min(count, len(left)))
    weights = rates.weights()
    return drawn(left, min(count, len(left)), [weights[problem] for problem in left], random)


def shuffled(problems: int, epoch: int, seed: int) -> list[int]:
    order = list(range(problems))
    Random(f"{seed} epoch {epoch}").shuffle(order)
    return order


def drawn(items: Sequence[ItemT], count: int, weights: Sequence[float], random: Random) -> list[ItemT]:
    """Weighted draws, without replacement as long as there are enough items (Efraimidis and Spirakis 2006)."""
    found: list[ItemT] = []
    while True:
        keys = {item: random.random() ** (1 / weight) for item, weight in zip(items, weights, strict=True)}
        found += sorted(items, key=lambda item: -keys[item])[: count - len(found)]
        if len(found) >= count:
            return found
