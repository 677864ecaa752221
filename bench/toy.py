"""Greedy, majority and MCTS on held-out problems with the toy policy, at the same number of generated tokens.

    python bench/toy.py [--problems 300] [--max-rollouts 16] [--children 8] [--seed 1]

MCTS runs with its default settings. For each problem, majority then generates trajectories one after another until it
has spent the tokens that MCTS used; a truncated trajectory does not count. Greedy is one trajectory. Problems are from
the test split, spread evenly over all families and levels. Accuracy has 95% Wilson intervals, differences have paired
95% bootstrap intervals over the same problems. Writes bench/results/toy.json.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from treestar import GreedyConfig, MajorityConfig, MCTSConfig, Problem, SearchResult
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.gym_levels import cells
from treestar.policy import load_policy
from treestar.sandbox import SandboxExecutor
from treestar.search import Components, SearchConfig, search_one
from treestar.statistics import paired_difference
from treestar.storage.record import write_record
from treestar.verifier import AnswerVerifier

UNTRAINED_SEED = 9
"""Set number for reasoning-gym; the split, not the seed, keeps test questions out of training."""


def held_out_problems(count: int, seed: int) -> list[Problem]:
    """`count` test problems, spread as evenly as possible over the cells, shuffled."""
    every = cells()
    shares = [count // len(every) + (place < count % len(every)) for place in range(len(every))]
    problems = [
        problem
        for (family, level), share in zip(every, shares, strict=True)
        for problem in make_problems(family, level, "test", share, seed=UNTRAINED_SEED)
    ]
    random.Random(seed).shuffle(problems)
    return problems


async def run_all(problems: list[Problem], configs: list[SearchConfig], seed: int) -> list[SearchResult]:
    """Search every problem concurrently, each with its own configuration."""
    components = Components(load_policy("toy"), SandboxExecutor(), AnswerVerifier())
    try:
        searches = [search_one(*each, components, seed) for each in zip(problems, configs, strict=True)]
        return await asyncio.gather(*searches)
    finally:
        await components.executor.close()


def wilson(right: int, total: int) -> list[float]:
    """95% Wilson score interval of a share."""
    z = 1.96
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return [round(middle - half, 3), round(middle + half, 3)]


def share(right: Sequence[bool]) -> dict[str, Any]:
    return {"accuracy": round(sum(right) / len(right), 3), "interval": wilson(sum(right), len(right)), "n": len(right)}


def run(problems: list[Problem], configs: list[SearchConfig], seed: int) -> tuple[list[SearchResult], dict[str, Any]]:
    """The results and their figures."""
    started = time.perf_counter()
    results = asyncio.run(run_all(problems, configs, seed))
    seconds = time.perf_counter() - started
    by_cell: dict[str, list[bool]] = defaultdict(list)
    for problem, result in zip(problems, results, strict=True):
        by_cell[f"{problem.metadata['family']}/{problem.metadata['level']}"].append(bool(result.correct))
    n = len(results)
    tokens = sum(result.stats.generated_tokens for result in results)
    return results, {
        "all": share([bool(result.correct) for result in results]),
        "cells": {cell: share(by_cell[cell]) for cell in sorted(by_cell)},
        "generated_tokens_a_problem": round(tokens / n, 1),
        "executions_a_problem": round(sum(result.stats.executions for result in results) / n, 1),
        "trajectories_a_problem": round(sum(map(finished, results)) / n, 1),
        "stopped": dict(Counter(result.stopped for result in results)),
        "seconds": round(seconds, 1),
    }


def finished(result: SearchResult) -> int:
    """Trajectories of the tree that ended in an answer."""
    assert result.tree is not None
    return sum(node.multiplicity for node in result.tree.terminals() if node.terminal == "answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--max-rollouts", type=int, default=MCTSConfig.max_rollouts)
    parser.add_argument("--children", type=int, default=MCTSConfig.children)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = held_out_problems(arguments.problems, arguments.seed)
    search = MCTSConfig(max_rollouts=arguments.max_rollouts, children=arguments.children, in_flight=1)
    results, figures = {}, {}
    results["mcts"], figures["mcts"] = run(problems, [search] * len(problems), arguments.seed)
    budgets = [max(result.stats.generated_tokens, 1) for result in results["mcts"]]
    sampling = [MajorityConfig(samples=10_000, in_flight=1, max_generated_tokens=tokens) for tokens in budgets]
    results["majority"], figures["majority"] = run(problems, sampling, arguments.seed)
    results["greedy"], figures["greedy"] = run(problems, [GreedyConfig()] * len(problems), arguments.seed)
    right = {name: [bool(result.correct) for result in found] for name, found in results.items()}
    figures["mcts_minus_majority"] = paired_difference(right["mcts"], right["majority"], arguments.seed)
    figures["mcts_minus_greedy"] = paired_difference(right["mcts"], right["greedy"], arguments.seed)
    write_record(Path(__file__).parent / "results" / "toy.json", figures, arguments.seed)


if __name__ == "__main__":
    main()
