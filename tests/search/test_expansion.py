"""The expansions of a wave run together and end together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from support.scripted import ScriptedPolicy, components

from treestar.concurrency import TURN
from treestar.search import BeamSearchConfig, MajorityConfig, MCTSConfig, SearchConfig, search_many, search_one
from treestar.search.answer import sampled_mass
from treestar.types import Problem, Proposal, Sampling, State, Step, TreestarError


class FailingPolicy(ScriptedPolicy):
    """Proposes two steps at the root. After the first it takes long, and after the second it fails."""

    left = 0
    """Proposals that ended after the search did."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        if not state.steps:
            return Proposal((Step("x = 1", "x = 1"), Step("x = 2", "x = 2")))
        if state.steps[0].text == "x = 2":
            raise TreestarError("the model is gone")
        await asyncio.sleep(0.02)
        self.left += 1
        return Proposal((Step("x = 3", "x = 3"),))


def test_what_still_runs_when_an_expansion_fails_is_cancelled() -> None:
    policy = FailingPolicy(lambda state, n, seed: [])

    async def run() -> None:
        parts = replace(components(policy.script), policy=policy)
        with pytest.raises(TreestarError, match="the model is gone"):
            await search_one(Problem("which?"), MCTSConfig(in_flight=2, children=2), parts)
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert policy.left == 0


class TurnsPolicy(ScriptedPolicy):
    """Remembers whose turn it was at each request."""

    turns: list[tuple[str, int]]

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.turns.append((state.problem.question, TURN.get()))
        await asyncio.sleep(0)
        return await super().propose(state, n, sampling, seed)


def test_requests_carry_the_turn_of_their_search() -> None:
    policy = TurnsPolicy(lambda state, n, seed: [Step(f"x = {i}", f"x = {i}") for i in range(n)])
    policy.turns = []
    parts = replace(components(policy.script), policy=policy)
    problems = [Problem(str(number)) for number in range(4)]
    asyncio.run(search_many(problems, MCTSConfig(max_rollouts=3, children=2, max_depth=3), parts, concurrency=2))
    turns = {question: {turn for asked, turn in policy.turns if asked == question} for question, _ in policy.turns}
    assert [len(turns[problem.question]) for problem in problems] == [1, 1, 1, 1]
    in_order = [turn for problem in problems for turn in turns[problem.question]]
    assert in_order == sorted(set(in_order))


@pytest.mark.parametrize("scored", [False, True])
def test_a_trajectory_whose_probability_rounds_to_0_still_counts(scored: bool) -> None:
    """Three long steps, each e^600 times less probable than a sibling, and an answer."""

    def improbable(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) == 3:
            return [Step("so 1", ending="answer", answer="1", log_probability=-1.0, tokens=1)]
        return [Step("a", log_probability=-600.0, tokens=600), Step("b", log_probability=-1.0, tokens=1)]

    parts = components(improbable, (lambda state: 0.5) if scored else None)
    config = MCTSConfig(max_rollouts=1, children=2, distinct=True, stop_confidence=0.9, stop_mass=0.0)
    result = asyncio.run(search_one(Problem("which?"), config, parts))
    assert (result.answer, result.confidence) == ("1", 1.0)


def test_where_all_masses_round_to_0_trajectories_are_counted() -> None:
    """Thoughts can have a thousand steps, and with four children at each a path has a mass of 4^-540."""

    def deep(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) == 540:
            return [Step(f"so {i}", ending="answer", answer="2" if i else "1", tokens=1) for i in range(n)]
        return [Step(f"{len(state.steps)} {i}", tokens=1) for i in range(n)]

    config = MCTSConfig(max_rollouts=1, max_depth=600, children=4)
    result = asyncio.run(search_one(Problem("which?"), config, components(deep)))
    assert (result.answer, result.confidence, result.other_answers) == ("2", 0.75, (("1", 0.25),))


@dataclass
class PrintingPolicy(ScriptedPolicy):
    """Two programs, after which the answer is stated, as the released rStar-Math models do."""

    statements: list[tuple[int, float]] = field(default_factory=list)
    """For each request of a statement the number of candidates, and the temperature."""

    def only_answer_left(self, state: State) -> bool:
        return bool(state.steps)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        if not state.steps:
            texts = [f"print({i % 2})" for i in range(n)]
            return Proposal(tuple(Step(text, text, "code", tokens=5) for text in texts), 1, 5 * n)
        self.statements.append((n, sampling.temperature))
        answer = state.steps[0].text[6]
        return Proposal((Step(f"It is {answer}.", ending="answer", answer=answer, tokens=3),) * n, 1, 3 * n)


@pytest.mark.parametrize(
    ("config", "statements"),
    [
        (MCTSConfig(max_rollouts=4, children=4, temperature=0.9), [(1, 0.0)] * 2),
        (MCTSConfig(max_rollouts=4, children=4, temperature=0.9, distinct=True), [(1, 0.0)] * 2),
        (BeamSearchConfig(beam_width=2, children=2, temperature=0.9), [(1, 0.0)] * 2),
        (MajorityConfig(samples=2, temperature=0.9), [(1, 0.9)] * 2),
    ],
)
def test_what_was_printed_is_stated_once(config: SearchConfig, statements: list[tuple[int, float]]) -> None:
    policy = PrintingPolicy(lambda state, n, seed: [])
    parts = replace(components(policy.script, lambda state: 0.5), policy=policy)
    result = asyncio.run(search_one(Problem("which?"), config, parts))
    assert policy.statements == statements
    programs = result.tree.root.children
    assert {node.children[0].answer for node in programs} == {"0", "1"}
    assert {sampled_mass(node.children[0]) for node in programs} == {0.5}
    assert result.stats.generated_tokens == 5 * sum(node.multiplicity for node in programs) + 3 * len(statements)


@dataclass
class TonguetiedPolicy(PrintingPolicy):
    """States nothing at temperature 0, and the answer otherwise."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        proposal = await super().propose(state, n, sampling, seed)
        if not state.steps or sampling.temperature:
            return proposal
        return replace(proposal, steps=(Step("Well.", ending="answer", tokens=3),))


def test_more_statements_are_drawn_where_the_most_probable_one_states_nothing() -> None:
    policy = TonguetiedPolicy(lambda state, n, seed: [])
    parts = replace(components(policy.script, lambda state: 0.5), policy=policy)
    result = asyncio.run(search_one(Problem("which?"), MCTSConfig(max_rollouts=4, children=4, temperature=0.9), parts))
    assert sorted(policy.statements) == [(1, 0.0), (1, 0.0), (4, 0.9), (4, 0.9)]
    programs = result.tree.root.children
    assert [[child.answer for child in node.children] for node in programs] == [["0"], ["1"]]
    assert result.stats.generated_tokens == 5 * sum(node.multiplicity for node in programs) + (3 + 3 * 4) * 2
