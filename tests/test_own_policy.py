"""A user's own policy: a class with `propose`, whether it inherits from `Policy` or not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from support.scripted import ExactVerifier, ScriptedExecutor

import treestar
from treestar.search import Components, search_one
from treestar.types import Closable, Problem, Proposal, Recommended, Sampling, State, Step, TreestarError, as_policy


class Mine(treestar.Policy):
    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        return Proposal((Step("so 4", ending="answer", answer="4", tokens=2),) * n, 1, 2 * n)


class Plain:
    """Does not inherit."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        return await Mine().propose(state, n, sampling, seed)


class Whole(Plain):
    name = "whole"
    step_format = ""
    recommended = Recommended()
    closed = False

    def preamble(self, problem: Problem) -> str:
        return "x = 1"

    def display(self, problem: Problem, text: str) -> str:
        return text.upper()

    def final_answer(self, step: Step, execution: treestar.Execution) -> str | None:
        return "5"

    def only_answer_left(self, state: treestar.State) -> bool:
        return False

    async def close(self) -> None:
        self.closed = True


class Named(Plain):
    name = "named"

    def display(self, problem: Problem, text: str) -> str:
        return text.upper()


def solved_by(policy: Any) -> treestar.SearchResult:
    parts = Components(policy, ScriptedExecutor(), ExactVerifier())
    return asyncio.run(search_one(Problem("2 + 2?"), treestar.MajorityConfig(samples=2), parts))


@pytest.mark.parametrize("policy", [Mine(), Plain()])
def test_propose_is_enough(policy: Any) -> None:
    result = solved_by(policy)
    assert result.answer == "4"
    assert [step.text for step in result.trajectory] == ["so 4"]
    assert as_policy(policy).name == type(policy).__name__
    assert as_policy(policy).preamble(Problem("?")) == ""


def test_what_an_object_has_itself_wins_over_the_defaults() -> None:
    result = solved_by(Named())
    assert result.answer == "4"
    assert [step.text for step in result.trajectory] == ["SO 4"]
    assert as_policy(Named()).name == "named"


def test_a_whole_policy_that_does_not_inherit_is_used_as_it_is() -> None:
    policy = Whole()
    assert as_policy(policy) is policy
    assert solved_by(policy).answer == "5"


def test_a_completed_policy_closes_its_source_if_that_can_be_closed() -> None:
    class Closing(Named):
        closed = False

        async def close(self) -> None:
            self.closed = True

    source = Closing()
    completed = as_policy(source)
    assert isinstance(completed, Closable)
    asyncio.run(completed.close())
    assert source.closed
    assert not isinstance(as_policy(Named()), Closable)


def test_a_name_can_be_a_field_or_an_attribute() -> None:
    @dataclass
    class Fielded(Mine):
        scale: float
        name: str = "fielded"

    class Attributed(Mine):
        def __init__(self) -> None:
            self.name = "attributed"

    assert Fielded(1.0).name == "fielded"
    assert Attributed().name == "attributed"


def test_an_object_without_propose_is_refused_in_a_sentence() -> None:
    with pytest.raises(TreestarError, match="needs a method `propose`, and 7 has none"):
        Components(7, ScriptedExecutor(), ExactVerifier())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="propose"):
        treestar.Policy()  # type: ignore[abstract]
