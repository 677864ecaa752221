"""Nodes at which distinct candidates are drawn several times: what is drawn again is not a new child."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.scripted import Script, components, path_texts

from treestar.search import AdaptiveBranchingConfig, BeamSearchConfig, DVTSConfig, SearchConfig, Tree, search_one
from treestar.types import Problem, State, Step


def most_probable(state: State, n: int, seed: int) -> list[Step]:
    """The n most probable of 20 first steps, each half as probable as the one before it; each is followed by its
    answer."""
    if state.steps:
        return [Step("so", ending="answer", answer=state.steps[0].text[4:], tokens=1)]
    return [Step(f"x = {i}", f"x = {i}", log_probability=-0.7 * (i + 1), tokens=1) for i in range(min(n, 20))]


def tree_of(config: SearchConfig) -> Tree:
    parts = components(most_probable, rate=lambda state: 0.0)
    result = asyncio.run(search_one(Problem("which?"), config, parts))
    assert result.tree is not None
    return result.tree


@pytest.mark.parametrize(
    "config",
    [
        BeamSearchConfig(beam_width=1, children=2, rounds=3, distinct=True),
        DVTSConfig(subtrees=2, children=1, rounds=3, distinct=True),
    ],
    ids=lambda config: type(config).__name__,
)
def test_every_round_has_its_own_candidates(config: SearchConfig) -> None:
    tree = tree_of(config)
    followed = [child.index for child in tree.root.children if child.children]
    beams = 1 if isinstance(config, BeamSearchConfig) else 2
    assert len(tree.root.children) == 6
    assert len(followed) == 3 * beams, "each beam of each round goes on from a step of its own"


def few_first_steps(count: int) -> Script:
    """So many first steps, each followed by many, and then by an answer."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) == 2:
            return [Step("so", ending="answer", answer=state.steps[0].text[4:], tokens=1)]
        kinds = range(min(n, 20 if state.steps else count))
        return [Step(f"x = {i}", f"x = {i}", log_probability=-0.7 * (i + 1), tokens=1) for i in kinds]

    return script


@pytest.mark.parametrize(
    ("first_steps", "followed"),
    [(20, [0, 1, 2, 3]), (6, [0, 1, 2, 3]), (3, [0, 1, 2]), (1, [0])],
)
def test_no_beam_of_dvts_starves_where_the_policy_is_certain(first_steps: int, followed: list[int]) -> None:
    """The first of equally good candidates is kept, so beams of consecutive ones would keep 0, 4, 8 and 12."""
    parts = components(few_first_steps(first_steps), rate=lambda state: 0.0)
    config = DVTSConfig(subtrees=4, children=4, distinct=True)
    tree = asyncio.run(search_one(Problem("which?"), config, parts)).tree
    assert tree is not None
    assert [place for place, child in enumerate(tree.root.children) if child.children] == followed
    second = [node for node in tree.nodes if node.depth == 2]
    assert len(second) == 16
    assert sum(bool(node.children) for node in second) == 4, "each beam goes on from a step of its own"


def test_failed_candidates_take_no_place_of_others_when_they_are_drawn_again() -> None:
    """The most probable first step fails in each round, and of the others later ones have higher scores."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        first, *others = few_first_steps(20)(state, n, seed)
        return [first if state.steps else replace(first, code="raise"), *others]

    parts = components(script, rate=lambda state: int(state.steps[0].text[4:]) / 100)
    config = BeamSearchConfig(beam_width=1, children=2, rounds=3, distinct=True)
    tree = asyncio.run(search_one(Problem("which?"), config, parts)).tree
    assert tree is not None
    assert [path_texts(child) for child in tree.root.children if child.children] == [("x = 1",), ("x = 3",), ("x = 5",)]


def test_an_answer_that_is_drawn_again_is_no_further_rollout() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        steps = most_probable(state, n, seed)
        return (
            steps if state.steps else [replace(steps[0], text="so 0", code="", ending="answer", answer="0"), *steps[1:]]
        )

    config = BeamSearchConfig(beam_width=1, children=2, rounds=3, distinct=True)
    result = asyncio.run(search_one(Problem("which?"), config, components(script, rate=lambda state: 0.0)))
    assert result.tree is not None
    assert len(result.tree.terminals()) == result.stats.rollouts == 3


def test_adaptive_branching_goes_on_from_the_candidate_that_it_asked_for() -> None:
    tree = tree_of(AdaptiveBranchingConfig(max_rollouts=20, distinct=True))
    assert len(tree.root.children) > 3
    assert all(child.children for child in tree.root.children)


@pytest.mark.parametrize(
    "config",
    [
        BeamSearchConfig(beam_width=2, children=2, rounds=3, distinct=True),
        AdaptiveBranchingConfig(max_rollouts=20, distinct=True),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_child_that_is_drawn_again_stands_for_no_more_candidates(config: SearchConfig) -> None:
    tree = tree_of(config)
    assert tree.root.times_drawn > 2
    assert {node.multiplicity for node in tree.nodes} == {1}
