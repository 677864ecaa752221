"""Greedy, majority and best-of-n: independent trajectories behind the same interface as MCTS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from support.scripted import Script, components, random_script

from treestar.config.calibration import Calibration
from treestar.search import (
    BestOfNConfig,
    GreedyConfig,
    MajorityConfig,
    SearchConfig,
    SearchResult,
    search_many,
    search_one,
)
from treestar.types import Problem, State, Step, TreestarError

PROBLEM = Problem("which?", answer="1")


def run(config: SearchConfig, script: Script, **kwargs: object) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, **kwargs)))  # type: ignore[arg-type]


def numbered(state: State, n: int, seed: int) -> list[Step]:
    """Two steps to an answer; the answer is 1 more often than 2, but 2 is more probable."""
    if not state.steps:
        return [Step(f"x = {seed % 97 + i}", "x = 0", log_probability=-1, tokens=1) for i in range(n)]
    two = seed % 3 == 0
    return [Step("so", ending="answer", answer="2" if two else "1", log_probability=-0.1 if two else -3, tokens=1)]


def test_greedy_is_one_trajectory() -> None:
    result = run(GreedyConfig(), numbered)
    assert result.tree is not None
    assert [node.depth for node in result.tree.nodes] == [0, 1, 2]
    assert (result.stats.rollouts, result.stopped) == (1, "finished")


@pytest.mark.parametrize("in_flight", [1, 3, 16])
def test_majority_counts_trajectories(in_flight: int) -> None:
    result = run(MajorityConfig(samples=16, in_flight=in_flight), numbered)
    assert result.tree is not None
    answers = [node.answer for node in result.tree.terminals()]
    assert len(answers) == result.stats.rollouts == 16
    assert result.answer == max(set(answers), key=answers.count) == "1"
    assert result.confidence == answers.count("1") / 16
    assert all(len(node.children) == 1 for node in result.tree.nodes[1:] if node.terminal is None)


def test_a_calibrated_policy_says_the_chance_instead_of_the_share_with_that_strategy() -> None:
    parts = components(numbered)
    parts.policy.calibrations = {"majority": lambda share: share / 2}
    plain = run(MajorityConfig(samples=16), numbered)
    calibrated = asyncio.run(search_one(PROBLEM, MajorityConfig(samples=16), parts))
    assert (calibrated.answer, calibrated.confidence) == (plain.answer, plain.confidence / 2)
    other = asyncio.run(search_one(PROBLEM, BestOfNConfig(samples=16), parts))
    assert other.confidence == run(BestOfNConfig(samples=16), numbered).confidence


def test_a_calibration_holds_for_searches_with_the_scorer_that_it_was_fitted_with() -> None:
    def confidence(fitted_with: str | None, rate: Callable[[State], float] | None) -> float:
        parts = components(numbered, rate)
        parts.policy.calibrations = {"majority": Calibration(1.0, -9.0, fitted_with)}
        return asyncio.run(search_one(PROBLEM, MajorityConfig(samples=16), parts)).confidence

    scored: list[Callable[[State], float] | None] = [None, lambda state: 0.0]
    applies = {of: [confidence(of, rate) < 0.05 for rate in scored] for of in (None, "none", "scripted", "another")}
    assert applies == {None: [True, True], "none": [True, False], "scripted": [False, True], "another": [False, False]}


def test_best_of_n_takes_the_most_probable_without_a_scorer_and_the_best_scored_with_one() -> None:
    assert run(BestOfNConfig(samples=16), numbered).answer == "2"
    scored = run(BestOfNConfig(samples=16), numbered, rate=lambda state: 1.0 if state.steps[-1].answer == "1" else -1.0)
    assert scored.answer == "1"


def test_a_failing_step_ends_its_trajectory_alone() -> None:
    result = run(MajorityConfig(samples=30), random_script(0.3, 0.4))
    assert result.tree is not None
    reasons = {node.terminal for node in result.tree.terminals()}
    assert reasons == {"answer", "error"}
    assert len(result.tree.terminals()) == 30


def test_of_more_steps_than_were_asked_for_only_the_first_are_taken() -> None:
    def four(state: State, n: int, seed: int) -> list[Step]:
        if state.steps:
            return [Step(f"so {i}", ending="answer", answer=str(i)) for i in range(4)]
        return [Step(f"x = {i}", f"x = {i}") for i in range(4)]

    for config, trajectories in ((GreedyConfig(), 1), (MajorityConfig(samples=6, in_flight=2), 6)):
        result = asyncio.run(asyncio.wait_for(search_one(PROBLEM, config, components(four)), 20))
        assert result.tree is not None
        assert len(result.tree.terminals()) == result.stats.rollouts == trajectories
        assert (result.answer, result.confidence) == ("0", 1.0)


def test_token_budget_bounds_sampling() -> None:
    full = run(MajorityConfig(samples=64, in_flight=2), random_script())
    half = run(MajorityConfig(samples=64, in_flight=2, max_generated_tokens=60), random_script())
    assert half.stopped == "max_generated_tokens"
    assert 60 <= half.stats.generated_tokens < 60 + 2 * 4 < full.stats.generated_tokens


def test_results_come_in_the_order_of_the_problems() -> None:
    problems = [Problem(f"q{i}", str(i % 3), id=str(i)) for i in range(30)]
    seen: list[int] = []
    results = asyncio.run(
        search_many(
            problems,
            GreedyConfig(),
            components(random_script()),
            concurrency=7,
            on_result=lambda index, result: seen.append(index),
        )
    )
    assert [result.problem.id for result in results] == [problem.id for problem in problems]
    assert sorted(seen) == list(range(30))
    for result in results:
        assert result.correct == (result.answer == result.problem.answer)


def test_a_failing_backend_stops_the_others_and_says_why() -> None:
    def broken(state: State, n: int, seed: int) -> list[Step]:
        raise TreestarError("the model is gone")

    parts = components(broken)
    with pytest.raises(TreestarError, match="the model is gone"):
        asyncio.run(search_many([PROBLEM] * 3, GreedyConfig(), parts))
    assert all(interpreter.closed for interpreter in parts.executor.opened)  # type: ignore[attr-defined]


def test_no_problem_at_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency must be a whole number, 1 or more, not 0"):
        asyncio.run(search_many([PROBLEM], GreedyConfig(), components(numbered), concurrency=0))


def test_unknown_configuration_is_refused() -> None:
    with pytest.raises(TypeError, match="MCTSConfig"):
        run(SearchConfig(), numbered)
