"""Which problems are tried: all equally often, or those that the policy sometimes solves."""

from __future__ import annotations

from collections import Counter
from random import Random

from treestar.training.grpo.choice import PassRates, other_problems, problems_of_sampling


def test_uniformly_every_problem_is_tried_before_any_again() -> None:
    rates = PassRates.unknown(10)
    found = [index for number in range(5) for index in problems_of_sampling(number, 4, rates, False, 0)]
    assert sorted(found[:10]) == sorted(found[10:]) == list(range(10))
    assert found[:10] != found[10:]
    assert problems_of_sampling(2, 4, rates, False, 0) == found[8:12]
    assert problems_of_sampling(2, 4, rates, False, 1) != found[8:12]


def test_by_pass_rate_problems_that_are_sometimes_solved_are_tried_more_often() -> None:
    rates = PassRates.unknown(3)
    rates.add(0, tried=32, solved=32)
    rates.add(1, tried=32, solved=16)
    rates.add(2, tried=32, solved=0)
    counts = Counter(problems_of_sampling(number, 1, rates, True, 0)[0] for number in range(300))
    assert counts[1] > 4 * max(counts[0], counts[2])
    assert counts[0] > 0
    assert counts[2] > 0


def test_more_problems_than_there_are_repeat() -> None:
    assert sorted(problems_of_sampling(0, 4, PassRates.unknown(2), True, 0)) == [0, 0, 1, 1]


def test_other_problems_are_new_ones() -> None:
    rates = PassRates.unknown(6)
    for by_pass_rate in (False, True):
        assert sorted(other_problems(9, rates, by_pass_rate, Random(0), {1, 2})) == [0, 3, 4, 5]
        assert len(set(other_problems(2, rates, by_pass_rate, Random(0), {1, 2}))) == 2
        assert other_problems(2, rates, by_pass_rate, Random(0), range(6)) == []
