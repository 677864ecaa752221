"""Measure how often concurrent searches change the toy policy's tree, in bf16 and in fp32.

    python bench/determinism.py [--problems 50] [--seed 1]

Each problem is searched alone, then all are searched concurrently, with the same seed. With a scripted policy the trees
are equal (tests/search/test_mcts.py). With a model, a batch of another shape can round a matrix product differently, so
that a random number close to the boundary between two tokens selects the other one. Writes
bench/results/determinism.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from toy import held_out_problems

import treestar
from treestar.policy import load_policy
from treestar.storage.record import write_record

SHAPE = ("parent", "text", "output", "visits", "terminal", "answer")
"""The parts of a tree to compare; log-probabilities and times differ in their last digits."""


def shape(result: treestar.SearchResult) -> list[tuple[Any, ...]]:
    assert result.tree is not None
    return [tuple(node[name] for name in SHAPE) for node in result.tree.to_json()["nodes"]]


def compare(dtype: str, problems: list[treestar.Problem], seed: int) -> dict[str, Any]:
    import torch

    policy = load_policy("toy")
    policy.model.to(getattr(torch, dtype))
    config = treestar.MCTSConfig(max_rollouts=4, children=8, early_stop=False, in_flight=1)
    with treestar.Solver(policy, config, seed=seed) as solver:
        started = time.perf_counter()
        together = solver.solve_many(problems)
        between = time.perf_counter()
        alone = [solver.solve(problem) for problem in problems]
        ended = time.perf_counter()
    trees = sum(shape(one) != shape(other) for one, other in zip(alone, together, strict=True))
    answers = sum(one.answer != other.answer for one, other in zip(alone, together, strict=True))
    return {
        "problems": len(problems),
        "trees_that_differ": trees,
        "answers_that_differ": answers,
        "nodes": sum(len(shape(result)) for result in together),
        "seconds_together": round(between - started, 1),
        "seconds_one_by_one": round(ended - between, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = held_out_problems(arguments.problems, arguments.seed)
    figures = {dtype: compare(dtype, problems, arguments.seed) for dtype in ("bfloat16", "float32")}
    write_record(Path(__file__).parent / "results" / "determinism.json", figures, arguments.seed)


if __name__ == "__main__":
    main()
