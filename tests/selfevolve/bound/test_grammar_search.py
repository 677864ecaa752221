"""Programs that the grammar finds on several instances at once, and searches that are guided to them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exploration import BoundPolicy, state_of

from treestar.benchmarks.gym import make_problems
from treestar.policy.formats.binding import bind_numbers
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search import Components, MCTSConfig, search_one
from treestar.selfevolve.bound.exploration import ExplorationConfig, ExploringPolicy
from treestar.selfevolve.bound.grammar_search import Program, right_programs
from treestar.selfevolve.bound.resampling import resample
from treestar.types import Problem
from treestar.verifier import AnswerVerifier

Resample = Callable[[Problem, int], Problem | None]

TRIES = 30_000


def template(text: str, answer: Callable[..., int]) -> tuple[Problem, Resample]:
    """A problem, and a function that draws others of the same template: `text` with other numbers in place of its #."""

    def instance(random: Random) -> Problem:
        numbers = [random.randint(2, 60) for _ in range(text.count("#"))]
        left = iter(numbers)
        return Problem(re.sub("#", lambda _: str(next(left)), text), str(answer(*numbers)))

    return instance(Random("first")), lambda problem, seed: instance(Random(seed))


HENS = template(
    "A farm has # hens. Each lays # eggs a day, and # of all eggs break. How many are whole?", lambda a, b, c: a * b - c
)
WEEK = template("# buses drive # km each, for a week. How many km is that?", lambda a, b: a * b * 7)


def answer_of(program: Program, problem: Problem) -> Fraction:
    names: dict[str, object] = {name: Fraction(literal) for name, literal in bind_numbers(problem.question).values}
    printed: list[Fraction] = []
    exec("\n".join(step.code for step in program), {"print": printed.append}, names)
    return printed[0]


@given(st.sampled_from([HENS, WEEK]), st.integers(0, 2**32))
@settings(max_examples=6)
def test_what_is_found_is_right_on_every_instance_and_computes_nothing_in_vain(
    source: tuple[Problem, Resample], seed: int
) -> None:
    problem, other = source
    found = right_programs(problem, other, TRIES, 3, seed)
    assert found
    for program in found:
        assert program[-1].is_last
        assert not any(step.is_last for step in program[:-1])
        for each in [problem, *(other(problem, seed) for seed in range(1000, 1010))]:
            assert each is not None
            assert answer_of(program, each) == int(each.answer or "")
        for place, step in enumerate(program[:-1]):
            variable = step.code.partition(" = ")[0]
            assert any(re.search(rf"\b{variable}\b", later.code) for later in program[place + 1 :])


def test_one_instance_lets_coincidences_pass_that_several_do_not() -> None:
    problem = Problem("6 boxes of 2 eggs, and 4 baskets. How many are there in a year?", "12")
    assert right_programs(problem, lambda problem, seed: problem, TRIES, 3, 0)
    assert not right_programs(problem, HENS[1], TRIES, 3, 0)


@pytest.mark.parametrize("family", ["basic_arithmetic", "chain_sum"])
def test_problems_of_a_generator_are_found_by_its_own_other_instances(family: str) -> None:
    problems = make_problems(family, "easy", "train", 4)
    assert all(right_programs(problem, resample, TRIES, 3, seed=1) for problem in problems)


@pytest.mark.parametrize(
    ("problem", "other"),
    [
        (HENS[0], lambda problem, seed: None),
        (Problem(HENS[0].question, "x + 1"), HENS[1]),
        (Problem(HENS[0].question), HENS[1]),
        (Problem("How many?", "3"), lambda problem, seed: problem),
    ],
    ids=["no other instance", "no number", "no answer", "nothing to compute with"],
)
def test_nothing_is_found_where_nothing_can_be_known(problem: Problem, other: Resample) -> None:
    assert right_programs(problem, other, 2000, 3, 0) == []


def test_the_same_seed_finds_the_same_programs_and_no_tries_find_none() -> None:
    assert right_programs(*HENS, TRIES, 3, 5) == right_programs(*HENS, TRIES, 3, 5)
    assert right_programs(*HENS, 0, 3, 5) == []


def test_a_policy_proposes_the_next_steps_of_programs_before_any_others() -> None:
    problem, other = HENS
    programs = right_programs(problem, other, TRIES, 3, 0)
    policy = ExploringPolicy(BoundPolicy(), ExplorationConfig(share=1.0), programs)
    best = programs[0]
    for length in range(len(best)):
        state = state_of(problem.question, [f"# a comment\n{step.code}" for step in best[:length]])
        proposed = policy.explore(state, 8, seed=1)
        assert proposed[0].code.split("\n")[1] == best[length].code
        assert len({step.code for step in proposed.values()}) == 8
        assert [proposed[place] for place in range(4)] == list(policy.explore(state, 4, seed=1).values())


def test_a_search_reaches_the_programs_at_once() -> None:
    problem, other = HENS
    config = ExplorationConfig(share=1.0, tries=TRIES)
    policy = ExploringPolicy(BoundPolicy(), config, right_programs(problem, other, config.tries, 3, 0))

    async def run() -> list[bool | None]:
        components = Components(policy, SandboxExecutor(SandboxConfig(concurrency=1)), AnswerVerifier())
        try:
            search = MCTSConfig(max_rollouts=2, children=4, gold=True, early_stop=False)
            result = await search_one(problem, search, components, seed=0)
        finally:
            await components.executor.close()
            await components.verifier.close()
        assert result.tree is not None
        return [node.correct for node in result.tree.terminals()]

    assert True in asyncio.run(run())


def test_impossible_tries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ExplorationConfig\.tries must be a whole number, 0 or more, not -1"):
        ExplorationConfig(tries=-1)
