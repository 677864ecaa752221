"""Retrieval as execution: every search strategy works on it, and a path sees each paragraph once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.questions import QUESTIONS, question_parts
from support.scripted import ScriptedScorer

from treestar.retrieval import BM25Retriever, Paragraph, RetrievalExecutor, pooled_paragraphs
from treestar.search import STRATEGIES, search_one
from treestar.training.distill.teacher import ScriptedTeacher
from treestar.types import Policy, Problem, Proposal, Sampling, State, Step

SETTINGS: dict[str, dict[str, Any]] = {
    "mcts": {"max_rollouts": 4},
    "best_of_n": {"samples": 4},
    "majority": {"samples": 4},
    "weighted_vote": {"samples": 4},
}


class Guessing(Policy):
    """Takes the teacher's step, or looks up something else, and in the end often guesses wrong."""

    step_format = "retrieval"

    def preamble(self, problem: Problem) -> str:
        return problem.question

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        right = (await ScriptedTeacher().propose(state, 1, sampling, seed)).steps[0]
        wrong = [
            Step("It is Nora Lind. So the answer is: Nora Lind.\n", ending="answer", answer="Nora Lind"),
            Step("Osby is a village.\n", code="Osby is a village."),
        ]
        steps = [right if (seed + place) % 3 == 0 else wrong[(seed + place) % 2] for place in range(n)]
        return Proposal(tuple(steps), 1, n)


def says_what_was_found(state: State) -> float:
    """1 for a path whose last sentence is about what it has read."""
    read = " ".join([state.preamble_output, *(each.output for each in state.executions)])
    return (
        1.0 if ("Telmar" in state.steps[-1].text and "Telmar" in read) or "Ivo Brandt" in state.steps[-1].text else -1.0
    )


VOTES = {"majority", "adaptive_consistency", "esc"}
"""Strategies that no scorer guides; a policy that is mostly wrong has wrong votes."""


# deepconf needs the confidence of tokens, which scripted policies do not have.
@pytest.mark.parametrize("strategy", sorted(STRATEGIES.keys() - {"deepconf"}))
def test_every_strategy_finds_the_answer_with_a_scorer(strategy: str) -> None:
    config_class, _ = STRATEGIES[strategy]
    policy = ScriptedTeacher() if strategy in {"greedy", "adaptive_branching"} | VOTES else Guessing()
    parts = question_parts(policy, ScriptedScorer(says_what_was_found), QUESTIONS[0])
    result = asyncio.run(search_one(QUESTIONS[0], config_class(**SETTINGS.get(strategy, {})), parts))
    assert (result.answer, result.correct) == ("Ivo Brandt", True), strategy
    tree = result.tree
    assert tree is not None
    assert "Title: Ada Kolb" in tree.root.execution.output
    for node in tree.terminals():
        found = [tree.root.execution.output, *(each.execution.output for each in node.path())]
        titles = [line for text in found for line in text.split("\n") if line.startswith("Title: ")]
        assert len(titles) == len(set(titles)), "no path sees a paragraph twice"


def test_a_path_stops_at_the_cap_and_siblings_do_not_share() -> None:
    executor = RetrievalExecutor(BM25Retriever([Paragraph(f"T{n}", f"common word{n}") for n in range(9)]), 4, 6)

    async def run() -> list[int]:
        interpreter = await executor.open()
        root = await interpreter.run("common", None)
        first = await interpreter.run("common word7 word8 word1", root.snapshot)
        last = await interpreter.run("common word6 word5", first.snapshot)
        sibling = await interpreter.run("common word7 word8 word1", root.snapshot)
        assert sibling.output == first.output
        return [each.output.count("Title: ") for each in (root, first, last)]

    counts = asyncio.run(run())
    assert counts[0] == 4
    assert sum(counts) <= 6


def test_five_steps_without_an_answer_are_the_end() -> None:
    class Wandering(Guessing):
        async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
            return Proposal((Step(f"More {len(state.steps)}.\n", code="Osby"),) * n)

    config = STRATEGIES["greedy"][0](max_depth=5)
    result = asyncio.run(search_one(QUESTIONS[0], config, question_parts(Wandering())))
    assert result.answer is None
    assert result.tree is not None
    assert [node.terminal for node in result.tree.terminals()] == ["max_depth"]
    assert len(pooled_paragraphs(QUESTIONS)) == 8
