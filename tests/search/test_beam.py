"""Beam search and DVTS: the sequence of the textbook, rounds, budgets, and what a beam keeps."""

from __future__ import annotations

import asyncio
from collections import Counter
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Draws, Script, as_step, components, path_texts, texts
from support.textbook import textbook_beams

from treestar.search import BeamSearchConfig, DVTSConfig, SearchResult, search_one
from treestar.search.answer import sampled_mass
from treestar.types import ContextOverflow, Problem, State, Step

PROBLEM = Problem("which?", answer="1")


def run(config: BeamSearchConfig | DVTSConfig, script: Script, rate=lambda state: 0.0) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, rate)))


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    subtrees=st.none() | st.integers(1, 4),
    width=st.integers(1, 4),
    children=st.integers(1, 4),
    rounds=st.integers(1, 3),
    distinct=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.0, 0.3, 0.7]),
)
def test_beam_and_dvts_are_the_textbook(seed, subtrees, width, children, rounds, distinct, share) -> None:
    mine, theirs = Draws(seed, distinct, share), Draws(seed, distinct, share)
    config: BeamSearchConfig | DVTSConfig = (
        BeamSearchConfig(beam_width=width, children=children, rounds=rounds)
        if subtrees is None
        else DVTSConfig(subtrees=subtrees, children=children, rounds=rounds)
    )

    def whole_score(path: tuple[str, ...]) -> float:
        return sum(theirs.score(path[:end]) for end in range(1, len(path) + 1))

    result = run(config, mine.script, lambda state: mine.score(texts(state)))
    expected = textbook_beams(
        theirs.propose,
        lambda step: step.startswith("so"),
        whole_score,
        beams=subtrees or 1,
        width=width if subtrees is None else 1,
        children=children,
        rounds=rounds,
    )
    assert result.tree is not None
    found = {path_texts(node): node.multiplicity for node in result.tree.nodes if node.answer is not None}
    assert found == expected
    assert mine.drawn == theirs.drawn
    assert result.stopped == ("finished" if result.tree.root.children else "exhausted")
    assert result.stats.rollouts == expected.total()
    weights: dict[str, float] = {}
    for node in result.tree.nodes:
        if node.answer is not None:
            path = path_texts(node)
            weight = sampled_mass(node) * exp(whole_score(path))
            weights[node.answer] = weights.get(node.answer, 0.0) + weight
    if expected:
        assert weights[str(result.answer)] == pytest.approx(max(weights.values()))


def counting(state: State, n: int, seed: int) -> list[Step]:
    """Three steps, all different, and an answer: the first step's number."""
    if len(state.steps) == 3:
        return [Step(f"so {i}", "", "answer", state.steps[0].text[4:], tokens=1) for i in range(n)]
    return [Step(f"x = {seed % 1000 + i}", f"x = {seed % 1000 + i}", tokens=1) for i in range(n)]


def test_a_beam_costs_n_candidates_a_step() -> None:
    result = run(BeamSearchConfig(beam_width=3, children=4), counting)
    assert result.tree is not None
    assert Counter(node.depth for node in result.tree.nodes[1:]) == {1: 12, 2: 12, 3: 12, 4: 12}
    assert (result.stats.generated_tokens, result.stopped) == (48, "finished")


def test_the_subtrees_of_dvts_never_compete() -> None:
    """One first step is rated above all others; a beam keeps only its continuations, each subtree keeps its own
    best."""

    def rate(state: State) -> float:
        return 0.9 if state.steps[0].text == best else 0.1

    tree = run(DVTSConfig(subtrees=4, children=3), counting).tree
    assert tree is not None
    first = [path_texts(child)[0] for child in tree.root.children]
    best = first[4]
    diverse, single = run(DVTSConfig(subtrees=4, children=3), counting, rate), run(
        BeamSearchConfig(beam_width=4, children=3), counting, rate
    )  # fmt: skip
    assert diverse.tree is not None
    assert single.tree is not None
    expanded = [path_texts(child)[0] for child in diverse.tree.root.children if child.children]
    assert expanded == [first[0], best, first[6], first[9]]
    assert {path_texts(node)[0] for node in single.tree.nodes if node.depth == 4} == {best}


def test_fewer_candidates_than_were_asked_for_are_divided_among_the_subtrees() -> None:
    def short(state: State, n: int, seed: int) -> list[Step]:
        return counting(state, n, seed)[: 6 if not state.steps else n]

    tree = run(DVTSConfig(subtrees=4, children=3), short).tree
    assert tree is not None
    assert [bool(child.children) for child in tree.root.children] == [True] * 4 + [False] * 2


def test_a_token_budget_is_spent_in_further_rounds() -> None:
    for config in (BeamSearchConfig(max_generated_tokens=100), DVTSConfig(max_generated_tokens=100)):
        result = run(config, counting)
        assert result.stopped == "max_generated_tokens"
        assert 100 <= result.stats.generated_tokens < 100 + 16
        assert result.tree is not None
        assert len(result.tree.root.children) == 32, "the second round has its own candidates"
        assert run(type(config)(), counting).stats.generated_tokens == 64


def test_a_state_that_was_reached_before_is_neither_run_nor_scored_again() -> None:
    def same(state: State, n: int, seed: int) -> list[Step]:
        return [as_step("so 1" if state.steps else "x = 1")] * n

    result = run(BeamSearchConfig(rounds=3), same)
    assert result.tree is not None
    assert [(node.depth, node.multiplicity) for node in result.tree.nodes[1:]] == [(1, 48), (2, 12)]
    assert result.stats.executions == 1
    assert result.stats.scored_tokens == 1 + 2
    assert (result.stats.rollouts, result.confidence) == (12, 1.0)


@pytest.mark.parametrize("config", [BeamSearchConfig(max_generated_tokens=50), DVTSConfig(max_generated_tokens=50)])
def test_a_search_that_cannot_begin_ends(config: BeamSearchConfig | DVTSConfig) -> None:
    def overflow(state: State, n: int, seed: int) -> list[Step]:
        raise ContextOverflow("too long")

    for script in (overflow, lambda state, n, seed: [as_step(None)] * n):
        result = run(config, script)
        assert (result.stopped, result.answer) == ("exhausted", None)


def test_the_single_best_trajectory_may_be_asked_for() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        return [as_step(f"so {min(i, 1)}") for i in range(n)]

    def rate(state: State) -> float:
        return 0.5 if state.steps[-1].answer == "0" else 0.4

    config = BeamSearchConfig(beam_width=1, children=4)
    assert run(config, script, rate).answer == "1"
    assert run(BeamSearchConfig(beam_width=1, children=4, choice="best"), script, rate).answer == "0"
