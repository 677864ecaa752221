"""The mean score of the steps of right trajectories, by which a round can select (StepWiser, section 4.4).

ROUND/judged.jsonl   a line for each right trajectory, written as soon as it is scored: a killed round does not ask
                     the judge again
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from treestar.search import Tree
from treestar.selfevolve.selection import Trajectory, TrajectoryKey, right_trajectories
from treestar.storage.lines import appending, read_lines
from treestar.types import Closable, Scorer
from treestar.workers import LocalWorkers, Worker

__all__ = ["JUDGED", "judged_tokens", "step_scores"]

JUDGED = "judged.jsonl"

AT_ONCE = 32
"""Trajectories that are scored at the same time."""


async def step_scores(trees: Iterable[Tree], scorer: Scorer, folder: Path) -> dict[TrajectoryKey, float]:
    """The mean score of the steps of each right trajectory, in [-1, 1]. Closes the scorer.

    Args:
        scorer: its value of a state is that of the last step.
        folder: where finished scores are kept.

    Raises:
        TreestarError: the scorer failed, or the folder cannot be written.
    """
    known = {key: score for key, score, _ in read_scored(folder)}
    try:
        with appending(folder / JUDGED) as append:

            def keep(trajectory: Trajectory, row: dict[str, Any]) -> None:
                append(row)
                known[trajectory.key] = row["score"]

            wanted = {each.key: each for tree in trees for each in right_trajectories(tree)}
            missing = [each for key, each in wanted.items() if key not in known]
            await LocalWorkers(Worker(partial(row_of, scorer), {}), AT_ONCE).run(missing, keep)
    finally:
        if isinstance(scorer, Closable):
            await scorer.close()
    return known


async def row_of(scorer: Scorer, trajectory: Trajectory) -> dict[str, Any]:
    state = trajectory.state
    scores = await scorer.score([state.prefix(depth) for depth in range(1, len(state.steps) + 1)])
    problem_id, seed, node = trajectory.key
    return {
        "problem_id": problem_id,
        "seed": seed,
        "node": node,
        "score": fmean(scores.values),
        "judged_tokens": scores.generated_tokens,
    }


def read_scored(folder: Path) -> list[tuple[TrajectoryKey, float, int]]:
    """The scored trajectories in `folder`: which, the score, and the tokens that the judge generated."""
    path = folder / JUDGED
    return list(read_lines(path, scored_from_json, "a scored trajectory")) if path.exists() else []


def scored_from_json(row: dict[str, Any]) -> tuple[TrajectoryKey, float, int]:
    return (row["problem_id"], row["seed"], row["node"]), float(row["score"]), row["judged_tokens"]


def judged_tokens(folder: Path) -> int:
    """The tokens that the judge generated for a round's selection."""
    return sum(tokens for _, _, tokens in read_scored(folder))
