"""The answers that the filters of a benchmark select."""

from __future__ import annotations

from treestar.benchmarks.scoring import Votes, metrics_at_k, weighted_vote


def test_a_trajectory_of_very_many_well_scored_steps_wins_the_vote() -> None:
    votes = Votes(["1", "2"], [True, False], [0, 1], {"ppm": [900.0, 2.0], "log_probability": [-1.0, -1.0]})
    assert weighted_vote(votes).text == "1"
    assert metrics_at_k(votes, 2, tokens_a_sample=5.0, seed=0)["acc,weighted@2:ppm"] == 1.0
