"""The rewards of reinforcement learning: what each is for a trajectory, and where it does not apply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.verifier.rewards import (
    brevity,
    correct,
    executed,
    overlong_penalty,
    reasoning_and_answer,
    reasoning_present,
)

FOUR = ["a", "b", "c", "d"]


def test_the_table_of_reasoning_and_answer() -> None:
    verdicts, reasoning = [True, False, True, False], [True, True, False, False]
    assert reasoning_and_answer(FOUR, verdicts, reasoning) == [1.0, 0.3, 0.5, 0.0]
    assert correct(FOUR, verdicts) == [1.0, 0.0, 1.0, 0.0]
    assert reasoning_present(FOUR, reasoning) == [1.0, 1.0, 0.0, 0.0]


def test_a_reward_that_does_not_apply_is_none() -> None:
    assert correct(["a"], [None]) == [None]
    assert reasoning_and_answer(["a"], [None], [True]) == [None]
    assert executed(["a", "b"], [0, 4], [0, 1]) == [None, 0.75]
    assert brevity(["a"], [None], [3], ["p"]) == [None]


def test_other_columns_are_ignored() -> None:
    assert correct(["a"], verdicts=[True], prompts=["?"], trainer_state=None) == [1.0]


def test_brevity_compares_the_replies_to_one_problem() -> None:
    found = brevity(FOUR, [True, True, False, True], [10, 30, 10, 500], ["p", "p", "p", "q"])
    assert found == [0.5, -0.5, 0.0, 0.0]
    assert brevity(["a", "b"], [False, True], [30, 10], ["p", "p"]) == [-0.5, 0.5]


def test_the_overlong_penalty_falls_in_the_buffer() -> None:
    penalty = overlong_penalty(20_480, 4_096)
    lengths = [100, 16_384, 18_432, 20_480]
    assert penalty(FOUR, [[0] * length for length in lengths]) == [0.0, 0.0, -0.5, -1.0]
    assert penalty.__name__ == "overlong"
    with pytest.raises(ValueError, match="buffer must be between 1 and the 10 tokens"):
        overlong_penalty(10, 11)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000), st.sampled_from("pq")), min_size=1))
def test_brevity_stays_in_its_range_and_never_rewards_a_wrong_reply(rows: list[tuple[bool, int, str]]) -> None:
    verdicts, tokens, group = map(list, zip(*rows, strict=True))
    for verdict, value in zip(verdicts, brevity([""] * len(rows), verdicts, tokens, group), strict=True):
        assert value is not None
        assert -0.5 <= value <= (0.5 if verdict else 0.0)
