"""Answers that a policy of one's own gives in another type than text."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from support.scripted import ExactVerifier, ScriptedExecutor

from treestar.search import Components, GreedyConfig, MCTSConfig, search_one
from treestar.search.config import SearchConfig
from treestar.types import Execution, Policy, Problem, Proposal, Sampling, State, Step, TreestarError


class OwnPolicy(Policy):
    name = "mine"

    def __init__(self, answer: Any, later: bool) -> None:
        self.answer, self.later = answer, later

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        step = Step("It is that.", ending="answer", answer=None if self.later else self.answer)
        return Proposal((step,) * n)

    def final_answer(self, step: Step, execution: Execution) -> Any:
        return self.answer if self.later else step.answer


def answered(answer: Any, later: bool, config: SearchConfig) -> Any:
    components = Components(OwnPolicy(answer, later), ScriptedExecutor(), ExactVerifier())
    return asyncio.run(search_one(Problem("How many?", "7"), config, components))


@pytest.mark.parametrize("config", [GreedyConfig(), MCTSConfig(max_rollouts=2)])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(("answer", "text"), [(7, "7"), (0, "0"), (7.5, "7.5"), (Decimal("7.50"), "7.50"), ("7", "7")])
def test_a_number_is_an_answer(answer: Any, text: str, later: bool, config: SearchConfig) -> None:
    result = answered(answer, later, config)
    assert (result.answer, result.correct) == (text, text == "7")


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("answer", [["7"], True, b"7"])
def test_any_other_type_is_named_with_the_policy(answer: Any, later: bool) -> None:
    with pytest.raises(
        TreestarError, match=rf"the policy 'mine' gave a step whose answer is a {type(answer).__name__}, "
    ):
        answered(answer, later, GreedyConfig())
