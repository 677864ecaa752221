"""Nodes at which distinct candidates are drawn several times: what is drawn again is not drawn anew."""

from __future__ import annotations

import asyncio

import pytest
from support.scripted import components

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
