"""Claims in the words of steps are checked if possible."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.toy.teachers import teach
from treestar.benchmarks.gym import make_problems
from treestar.policy.formats.binding import bind_numbers
from treestar.selfevolve.bound.claims import misleaves, misquotes, misstates
from treestar.types import Execution, Problem, State, Step

LEGS = Problem("How many legs are there in total if you have 3 sea slugs, 4 cats, 1 horse?", "20")
CALCULATE = Problem("Calculate 2 - ( 3 + 4 ) * 5.", "-33")


def trajectory(problem: Problem, texts: list[str]) -> State:
    return State(problem, tuple(Step(text, text) for text in texts), tuple(Execution() for _ in texts))


def test_a_number_is_called_what_the_question_calls_it() -> None:
    right = [
        "# Step 1: n3 sea slugs have 0 legs each\nlegs = n3 * 0",
        "# n4 cats have 4 legs each\nlegs = legs + n4 * 4",
    ]
    assert not misstates(trajectory(LEGS, right))
    assert not misquotes(trajectory(LEGS, ["# n5 horses have 4 legs each\nlegs = n5 * 4"]))
    assert misquotes(trajectory(LEGS, [*right, "# n5 dogs have 4 legs each\nlegs = legs + n5 * 4"]))
    assert misquotes(trajectory(LEGS, ["# n3 snakes have 0 legs each\nlegs = n3 * 0", *right[1:]]))


def test_words_that_only_lead_on_from_a_number_name_nothing() -> None:
    said = ["# Step 1: multiply n3 by n4 and add n5 to it\na = n3 * n4 + n5", "# n4 times n5 is b\nb = n4 * n5"]
    assert not misstates(trajectory(LEGS, said))


def test_what_is_left_is_worth_the_same_after_every_step() -> None:
    right = [
        "# Step 1: n4 + n5 is a, leaving n3 - a * n6\na = n4 + n5",
        "# Step 2: a * n6 is b, leaving n3 - b\nb = a * n6",
        "# Step 3: n3 - b is c, leaving c\nc = n3 - b",
        "# Now print the final answer\nprint(c)",
    ]
    assert not misstates(trajectory(CALCULATE, right))
    wrong_sign = right[0].replace("n3 - a", "n3 + a")
    assert misleaves(trajectory(CALCULATE, [wrong_sign, *right[1:]]))
    no_expression = right[0].replace("a * n6", "a * n6 ) )")
    assert misleaves(trajectory(CALCULATE, [no_expression, *right[1:]]))
    unknown_name = right[0].replace("a * n6", "a * n9")
    assert misleaves(trajectory(CALCULATE, [unknown_name, *right[1:]]))


def test_a_step_that_claims_nothing_still_gives_its_value_to_those_that_do() -> None:
    steps = ["# Step 1: n4 + n5 is a\na = n4 + n5", "# Step 2: a * n6 is b, leaving n3 - b\nb = a * n6"]
    assert not misleaves(trajectory(CALCULATE, steps))


def test_no_text_stops_the_check() -> None:
    for left in ("1" * 5000, "9" * 400 + " / 7", "1 / 0", "(" * 500 + "a", "-" * 3000 + "a", "2 ( a )", "a b"):
        misleaves(trajectory(CALCULATE, [f"# n4 + n5 is a, leaving {left}\na = n4 + n5"]))


def test_of_code_beyond_arithmetic_nothing_is_known() -> None:
    steps = ["# Step 1: a is left, leaving a + 1\na = n3 ** 2", "# Step 2: leaving 7\nb = 2"]
    assert not misleaves(trajectory(CALCULATE, steps))


@pytest.mark.parametrize("family", ["basic_arithmetic", "leg_counting", "chain_sum", "gsm_symbolic"])
def test_teachers_say_nothing_that_is_not_so(family: str) -> None:
    level = "taught" if family == "gsm_symbolic" else "hard"
    for problem in make_problems(family, level, "train", 40, 1):
        steps = teach(problem)
        if steps is not None:
            assert not misstates(trajectory(problem, steps)), steps


@given(st.data())
def test_any_other_animal_is_noticed_at_every_place(data: st.DataObject) -> None:
    problem = data.draw(st.sampled_from(make_problems("leg_counting", "hard", "train", 20, 1)))
    named = re.findall(r"(n\d+) ([a-z]+)", bind_numbers(problem.question).question)
    place = data.draw(st.integers(0, len(named) - 1))
    texts = [
        f"# Step {i}: {name} {'unicorns' if i == place else word} have 4 legs each"
        for i, (name, word) in enumerate(named)
    ]
    assert misquotes(trajectory(problem, texts))
