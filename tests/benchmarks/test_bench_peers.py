"""bench/peers.py: peers use treestar's parts, keep the budget, and repeat with the seed."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.scripted import SlowPolicy, components, random_script

from treestar import Problem, Step
from treestar.types import State

pytest.importorskip("treequest")
pytest.importorskip("its_hub")
sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import peers

PROBLEM = Problem("what is it?", "1", id="one")
BUDGET = 400
NAMES = sorted(peers.PEERS)


def last_digit(state: State) -> float:
    """High if the trajectory states 1, otherwise low."""
    return 0.9 if state.steps[-1].text.endswith("1") else -0.5


def solve(name: str, script=None, rate=last_digit, seed: int = 3, times: int = 1) -> list[peers.PeerResult]:
    """Results of this many runs of one peer on one event loop, interleaved at random."""
    rooms = components(script or random_script(distinct=10), rate)
    if times > 1:
        rooms = replace(rooms, policy=SlowPolicy(rooms.policy.script))

    async def run() -> list[peers.PeerResult]:
        runs = [peers.PEERS[name](PROBLEM, rooms, BUDGET, 1.0, seed) for _ in range(times)]
        return await asyncio.gather(*runs)

    return asyncio.run(run())


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_uses_its_tokens_and_finds_what_the_ppm_favours(name):
    [result] = solve(name)
    assert (result.answer, result.correct) == ("1", True)
    assert BUDGET <= result.generated_tokens < 2 * BUDGET
    assert result.executions > 0
    assert result.scored_tokens > 0


@pytest.mark.parametrize("name", NAMES)
def test_runs_beside_each_other_are_the_run_alone(name):
    [alone] = solve(name)
    assert solve(name, times=4) == [alone] * 4
    assert len({solve(name, seed=seed)[0].generated_tokens for seed in range(5)}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_ends_where_every_trajectory_is_one_step_long(name):
    def answer_at_once(state: State, n: int, seed: int) -> list[Step]:
        return [Step("so 1", ending="answer", answer="1", tokens=4)] * n

    [result] = solve(name, answer_at_once)
    assert result.answer == "1"
    assert result.generated_tokens >= BUDGET


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_without_an_answer_says_so(name):
    def fail(state: State, n: int, seed: int) -> list[Step]:
        return [Step("raise", "raise", tokens=3)] * n

    [result] = solve(name, fail)
    assert result.answer is None
    assert not result.correct


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_that_has_not_finished_completes_its_best_state(name):
    def long_way(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) < 12:
            return [Step(f"x = {seed % 7}", f"x = {seed % 7}", tokens=100)] * n
        return [Step("so 1", ending="answer", answer="1", tokens=4)] * n

    [result] = solve(name, long_way)
    assert result.answer == "1"
    assert result.generated_tokens < BUDGET + 13 * 100
