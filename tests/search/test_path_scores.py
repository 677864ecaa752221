"""A scorer that judges whole paths (`Scores.of_paths`): the score of the last state is the trajectory's."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.scripted import Script, components, random_script

from treestar.search import BeamSearchConfig, BestOfNConfig, MCTSConfig, SearchConfig, Tree, search_one
from treestar.search.answer import trajectory_score, trajectory_value
from treestar.types import Problem, State, Step

PROBLEM = Problem("which?")

RATES = {"early": (0.9, 0.9, -0.8), "late": (0.0, 0.0, 0.5)}
"""Prefixes of the trajectory `early` look better, but as a whole it is worse."""


def two_ways(state: State, n: int, seed: int) -> list[Step]:
    depth = len(state.steps)
    if depth == 2:
        way = state.steps[0].text
        return [Step(f"so {way}", ending="answer", answer=way)] * n
    names = list(RATES) if depth == 0 else [state.steps[0].text]
    return [Step(names[(seed + each) % len(names)], "x = 1") for each in range(n)]


def rate(state: State) -> float:
    return RATES[state.steps[0].text][len(state.steps) - 1]


def run(config: SearchConfig, of_paths: bool, script: Script = two_ways) -> tuple[str | None, Tree]:
    result = asyncio.run(search_one(PROBLEM, config, components(script, rate, of_paths), 1))
    assert result.tree is not None
    return result.answer, result.tree


@pytest.mark.parametrize(
    "config",
    [
        BestOfNConfig(samples=12),
        BeamSearchConfig(beam_width=4, children=2),
        MCTSConfig(max_rollouts=12, children=4, choice="best"),
        MCTSConfig(max_rollouts=24, children=4),
    ],
    ids=lambda config: type(config).__name__,
)
def test_the_whole_path_decides(config: SearchConfig) -> None:
    answer, tree = run(config, True)
    assert answer == "late"
    for end in tree.terminals():
        assert trajectory_score(end) == trajectory_value(end) == end.score
    assert all(node.scores_path for node in tree.nodes if node.score is not None)


def test_otherwise_steps_add_up() -> None:
    answer, tree = run(BestOfNConfig(samples=12), False)
    assert answer == "early"
    for end in tree.terminals():
        assert trajectory_score(end) == pytest.approx(sum(RATES[end.answer or ""]))
        assert trajectory_value(end) == pytest.approx(sum(RATES[end.answer or ""]) / 3)


def test_mcts_backs_up_the_value_of_the_path() -> None:
    _, tree = run(MCTSConfig(max_rollouts=8, children=2), True)
    for end in tree.terminals():
        assert end.q_value == end.score


def test_trees_remember_what_their_scores_judge() -> None:
    for of_paths in (True, False):
        _, tree = run(MCTSConfig(max_rollouts=4, children=2), of_paths)
        data = json.loads(json.dumps(tree.to_json()))
        again = Tree.from_json(data)
        assert [node.scores_path for node in again.nodes] == [node.scores_path for node in tree.nodes]
        assert again.to_json() == data
    unscored = asyncio.run(search_one(PROBLEM, MCTSConfig(max_rollouts=4), components(random_script()), 0)).tree
    assert unscored is not None
    assert not any("scores_path" in node for node in unscored.to_json()["nodes"])
