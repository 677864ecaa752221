"""Greedy, majority and MCTS on held-out problems with the embedded policy, at the same number of generated tokens.

    python bench/embedded.py [--problems 300] [--tokens 1200] [--seed 1]

Majority and MCTS may generate the same number of tokens on each problem and end with what they have; greedy is one
trajectory. Problems are from the test split, spread evenly over all families and levels. Accuracy is given with 95%
Wilson intervals, and the difference between MCTS and majority with a paired bootstrap interval over the same problems.
Writes bench/results/embedded.json.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import treestar
from treestar.benchmarks.gym import cells, make_problems
from treestar.benchmarks.record import write_record

UNTRAINED_SEED = 9
"""Set number for reasoning-gym; the split, not the seed, keeps test questions out of training."""


def held_out_problems(count: int, seed: int) -> list[treestar.Problem]:
    """`count` test problems, as evenly over the cells as it goes, in a shuffled order."""
    every = cells()
    shares = [count // len(every) + (place < count % len(every)) for place in range(len(every))]
    problems = [
        problem
        for (family, level), share in zip(every, shares, strict=True)
        for problem in make_problems(family, level, "test", share, seed=UNTRAINED_SEED)
    ]
    random.Random(seed).shuffle(problems)
    return problems


def strategies(tokens: int) -> dict[str, treestar.search.SearchConfig]:
    return {
        "greedy": treestar.GreedyConfig(),
        "majority": treestar.MajorityConfig(samples=10_000, in_flight=4, generated_tokens=tokens),
        "mcts": treestar.MCTSConfig(rollouts=10_000, generated_tokens=tokens, early_stop=False),
    }


def wilson(right: int, total: int) -> list[float]:
    """95% Wilson score interval of a share."""
    z = 1.96
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return [round(middle - half, 3), round(middle + half, 3)]


def share(right: Sequence[bool]) -> dict[str, Any]:
    return {"accuracy": round(sum(right) / len(right), 3), "interval": wilson(sum(right), len(right)), "n": len(right)}


def paired_difference(first: Sequence[bool], second: Sequence[bool], seed: int) -> dict[str, Any]:
    """Mean of first - second over the same problems, with a 95% bootstrap interval (10 000 resamples)."""
    rng = random.Random(seed)
    differences = [int(a) - int(b) for a, b in zip(first, second, strict=True)]
    n = len(differences)
    means = sorted(sum(rng.choices(differences, k=n)) / n for _ in range(10_000))
    return {"difference": round(sum(differences) / n, 3), "interval": [round(means[250], 3), round(means[9749], 3)]}


def run(config: treestar.search.SearchConfig, problems: list[treestar.Problem], seed: int) -> dict[str, Any]:
    with treestar.Solver(search=config, seed=seed) as solver:
        started = time.perf_counter()
        results = solver.solve_many(problems)
        seconds = time.perf_counter() - started
    by_cell: dict[str, list[bool]] = defaultdict(list)
    for problem, result in zip(problems, results, strict=True):
        by_cell[f"{problem.metadata['family']}/{problem.metadata['level']}"].append(bool(result.correct))
    tokens = [result.stats.generated_tokens for result in results]
    return {
        "right": [bool(result.correct) for result in results],
        "all": share([bool(result.correct) for result in results]),
        "cells": {cell: share(by_cell[cell]) for cell in sorted(by_cell)},
        "generated_tokens_a_problem": round(sum(tokens) / len(tokens), 1),
        "executions_a_problem": round(sum(result.stats.executions for result in results) / len(results), 1),
        "trajectories_a_problem": round(sum(finished(result) for result in results) / len(results), 1),
        "seconds": round(seconds, 1),
    }


def finished(result: treestar.SearchResult) -> int:
    """Trajectories of the tree that ended in an answer."""
    assert result.tree is not None
    return sum(node.multiplicity for node in result.tree.terminals() if node.terminal == "answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = held_out_problems(arguments.problems, arguments.seed)
    figures: dict[str, Any] = {name: run(config, problems, arguments.seed)
                               for name, config in strategies(arguments.tokens).items()}  # fmt: skip
    right = {name: figure.pop("right") for name, figure in figures.items()}
    figures["mcts_minus_majority"] = paired_difference(right["mcts"], right["majority"], arguments.seed)
    figures["mcts_minus_greedy"] = paired_difference(right["mcts"], right["greedy"], arguments.seed)
    write_record(Path(__file__).parent / "results" / "embedded.json", figures, arguments.seed)


if __name__ == "__main__":
    main()
