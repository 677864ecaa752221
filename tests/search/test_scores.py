"""Scorers that do not keep their promise are refused in a sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np
import pytest
from support.scripted import components, random_script

from treestar.search import AdaptiveBranchingConfig, BestOfNConfig, MCTSConfig, SearchConfig, SearchResult, search_one
from treestar.types import Problem, Scores, State, TreestarError


@dataclass
class Mine:
    """A scorer of a user: it has no name."""

    values: Sequence[float]
    """Of every batch, repeated as often as it takes; or one for each batch alone."""
    whole: bool = True

    async def score(self, states: Sequence[State]) -> Scores:
        return Scores(tuple((list(self.values) * len(states))[: len(states) if self.whole else 1]))


def run(scorer: Mine, config: SearchConfig) -> SearchResult:
    parts = replace(components(random_script()), scorer=scorer)  # type: ignore[arg-type]
    return asyncio.run(search_one(Problem("which?", "1"), config, parts))


@pytest.mark.parametrize("value", [nan, inf, -inf, 3.5])
@pytest.mark.parametrize("config", [MCTSConfig(max_rollouts=4), BestOfNConfig(), AdaptiveBranchingConfig()])
def test_a_score_that_is_not_in_the_range_is_refused(value: float, config: SearchConfig) -> None:
    with pytest.raises(TreestarError, match=rf"the scorer Mine gave the score {value:g}: scores are numbers in"):
        run(Mine([value]), config)


def test_there_is_one_score_for_each_state() -> None:
    with pytest.raises(TreestarError, match=r"the scorer Mine gave 1 values for \d states"):
        run(Mine([0.5], whole=False), MCTSConfig(max_rollouts=4))


def test_scores_of_arrays_are_written_to_files() -> None:
    result = run(Mine(np.array([0.5, -1.0005], dtype=np.float32)), MCTSConfig(max_rollouts=4))  # type: ignore[arg-type]
    assert result.tree is not None
    json.dumps([result.to_json(), result.tree.to_json()], allow_nan=False)
    assert {node.score for node in result.tree.nodes[1:]} == {0.5, -1.0}, "what rounding adds is taken off"
