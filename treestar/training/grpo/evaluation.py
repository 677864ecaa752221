"""Evaluation on held-out problems while a policy learns: greedy, and by samples."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import TypeAlias

from treestar.concurrency import gather_all
from treestar.search.config import GreedyConfig
from treestar.search.engine import search_one
from treestar.search.expansion import Components
from treestar.seeds import seed_of
from treestar.training.grpo.config import GRPOConfig
from treestar.training.grpo.rollouts import parts_for, sample_groups
from treestar.types import Problem

__all__ = ["HeldOut", "Outcome", "evaluate", "summary"]

HeldOut: TypeAlias = Mapping[str, Sequence[Problem]]
"""Problems by cell: a family and level, or a data set."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One held-out problem, answered by the policy as it is now."""

    cell: str
    problem_id: str
    greedy: bool
    solved: int
    """How many of the samples are right."""
    tokens: int
    """Generated for all of this."""


async def evaluate(
    problems: Sequence[tuple[str, Problem]], samples: int, config: GRPOConfig, usual: Components, own: Components
) -> list[Outcome]:
    """Answer each (cell, problem) greedily, as the finished policy would, and `samples` times as it samples to learn.

    Args:
        usual: with the policy as it is used after the training.
        own: with the policy that samples trajectories to learn from. The seed of its samples is the same every time.
    """
    greedy = GreedyConfig(max_depth=config.max_depth, max_step_tokens=config.max_step_tokens)
    places = asyncio.Semaphore(config.concurrency)

    async def answer(cell: str, problem: Problem) -> Outcome:
        async with places:
            parts = parts_for(problem, usual)
            result = await search_one(problem, greedy, parts)
            right = result.correct
            if right is None:  # a program is judged by its tests, and has no gold answer
                right = result.answer is not None and await parts.verifier.accepts(problem, result.answer)
            seed = seed_of("evaluation", config.seed)
            [group] = await sample_groups([problem], samples, config, own, seed) if samples else [[]]
        tokens = result.stats.generated_tokens + sum(rollout.generated_tokens for rollout in group)
        solved = sum(bool(rollout.correct) for rollout in group)
        return Outcome(cell, problem.id, right, solved, tokens)

    return await gather_all(answer(*each) for each in problems)


def summary(outcomes: Sequence[Outcome], samples: int) -> dict[str, float]:
    """Figures to log: greedy accuracy by cell, and the mean over cells of greedy accuracy, pass@1 and pass@k, each with
    a 95% interval (the cells are independent, and each counts alike)."""
    cells: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        cells.setdefault(outcome.cell, []).append(outcome)
    measures = {"greedy": [[float(each.greedy) for each in found] for found in cells.values()]}
    if samples:
        measures["pass@1"] = [[each.solved / samples for each in found] for found in cells.values()]
        measures[f"pass@{samples}"] = [[float(each.solved > 0) for each in found] for found in cells.values()]
    figures: dict[str, float] = {}
    for name, values in measures.items():
        means = [sum(each) / len(each) for each in values]
        mean = sum(means) / len(means)
        below, above = (hypot(*distances) / len(values) for distances in zip(*map(margins, values), strict=True))
        figures |= {
            f"eval_{name}": mean,
            f"eval_{name}_low": max(0.0, mean - below),
            f"eval_{name}_high": min(1.0, mean + above),
        }
    for cell, greedy in zip(cells, measures["greedy"], strict=True):
        figures[f"eval_greedy/{cell}"] = sum(greedy) / len(greedy)
    return figures | {"eval_tokens": float(sum(outcome.tokens for outcome in outcomes))}


def margins(values: Sequence[float]) -> tuple[float, float]:
    """How far the ends of a cell's 95% interval are below and above its mean: normal, or Wilson's where all values are
    0 or all are 1, of which the standard error would be 0."""
    from treestar.statistics import NORMAL, binomial_interval, standard_error

    total = sum(values)
    if total in (0, len(values)):
        low, high = binomial_interval(int(total), len(values))
        return total / len(values) - low, high - total / len(values)
    return NORMAL * standard_error(values), NORMAL * standard_error(values)
