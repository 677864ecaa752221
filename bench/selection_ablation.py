"""Compare ways to select training data (the paper's Table 7), on the data of one round of a self-evolution job.

    python bench/selection_ablation.py JOB_FOLDER [--round 2] [--samples 12] [--trained 1000]

Three policies are fine-tuned from the policy that searched in that round, on the same number of trajectories of the
same problems, with the job's settings:

- `random`: correct trajectories of the round's trees, drawn at random;
- `rejection`: correct ones among whole solutions sampled from that policy, without a tree;
- `top_q`: the job's selection: the correct trajectories of the trees with the highest mean Q.

Only the round's first search of each problem counts, where only the policy proposes steps if the job explores in
escalations. Each policy is measured greedily on the job's cells, on problems that the job is not measured on.

Writes bench/results/selection_ablation.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from treestar import GreedyConfig, Problem, Solver
from treestar.benchmarks.gym import make_problems
from treestar.search import MajorityConfig, Tree
from treestar.selfevolve.job import load_job
from treestar.selfevolve.job_folder import JOB
from treestar.selfevolve.search_phase import TREES
from treestar.selfevolve.selection import Trajectory, best_of_different, right_trajectories
from treestar.selfevolve.trainings import policy_of, round_folder
from treestar.statistics import bootstrap_intervals
from treestar.storage.record import write_record
from treestar.storage.table import Table
from treestar.training.sft.data import SFTRow
from treestar.training.sft.train import train_policy
from treestar.verifier import AnswerVerifier

PROBLEM_SEED = 77_000
"""Seed of the measured problems; the job's tables use another."""

Choose = Callable[[Sequence[Trajectory]], Sequence[Trajectory]]


def trees_of_round(out: Path, number: int) -> list[Tree]:
    """The trees of the first search of every problem."""
    with Table(round_folder(out, number) / TREES.name, TREES) as table:
        return [
            Tree.from_json(json.loads(row["tree"])) for row in table.rows(["tree", "attempt"]) if not row["attempt"]
        ]


def sample(policy: str, problems: Sequence[Problem], samples: int, seed: int) -> tuple[list[Tree], int]:
    """Whole solutions of `problems`, judged, and their generated tokens."""
    with Solver(policy, MajorityConfig(samples=samples), seed=seed) as solver:
        results = list(solver.solve_many(problems))

    async def judge() -> None:
        verifier = AnswerVerifier()
        for result in results:
            assert result.tree is not None
            for node in result.tree.terminals():
                node.correct = node.answer is not None and await verifier.accepts(result.problem, node.answer)
        await verifier.close()

    asyncio.run(judge())
    return [each.tree for each in results if each.tree is not None], sum(e.stats.generated_tokens for e in results)


def at_random(count: int, seed: int) -> Choose:
    drawing = random.Random(seed)

    def choose(right: Sequence[Trajectory]) -> Sequence[Trajectory]:
        different = best_of_different(right, len(right))
        return drawing.sample(different, min(count, len(different)))

    return choose


def rows_of(trees: Sequence[Tree], choose: Choose) -> list[SFTRow]:
    return [SFTRow(tree.problem.id, each.state) for tree in trees for each in choose(right_trajectories(tree))]


def measure(policy: str, cells: Sequence[tuple[str, str]], problems: int) -> dict[str, Any]:
    """The greedy accuracy of a policy on so many validation problems of each cell."""
    asked = [
        (f"{family}/{level}", problem)
        for family, level in cells
        for problem in make_problems(family, level, "validation", problems, seed=PROBLEM_SEED)
    ]
    with Solver(policy, GreedyConfig()) as solver:
        right = [bool(each.correct) for each in solver.solve_many([problem for _, problem in asked])]
    by_cell = {
        name: float(np.mean([r for (cell, _), r in zip(asked, right, strict=True) if cell == name]))
        for name in dict.fromkeys(cell for cell, _ in asked)
    }
    [[low, high]] = bootstrap_intervals(np.array(right, dtype=float)[:, None])
    return {
        "accuracy": float(np.mean(right)),
        "interval": [float(low), float(high)],
        "by_cell": by_cell,
        "right": right,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("--round", type=int, default=2)
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--problems", type=int, default=40, help="problems measured in each cell")
    parser.add_argument("--trained", type=int, default=None, help="how many of the round's problems; default: all")
    arguments = parser.parse_args()
    out: Path = arguments.job.resolve()
    job = load_job(out / JOB)
    assert job.sft is not None
    assert job.evaluation is not None
    cells = [(each.family, each.level) for each in job.evaluation.cells]
    count = job.selection.trajectories
    before = policy_of(job, out, arguments.round - 1)
    trees = trees_of_round(out, arguments.round)
    if arguments.trained is not None:
        trees = random.Random(1).sample(trees, min(arguments.trained, len(trees)))
    sampled, sampled_tokens = sample(before, [tree.problem for tree in trees], arguments.samples, seed=1)
    data = {
        "random": rows_of(trees, at_random(count, seed=2)),
        "rejection": rows_of(sampled, at_random(count, seed=3)),
        "top_q": rows_of(trees, lambda right: best_of_different(right, count)),
    }
    size = min(map(len, data.values()))
    figures: dict[str, Any] = {
        "round": arguments.round,
        "problems": len(trees),
        "found": {name: len(rows) for name, rows in data.items()},
        "trajectories": size,
        "sampled_tokens": sampled_tokens,
        "before": measure(before, cells, arguments.problems),
    }
    for name, rows in data.items():
        chosen = random.Random(4).sample(rows, size)
        with tempfile.TemporaryDirectory() as folder:
            report = train_policy(chosen, before, Path(folder) / "policy", replace(job.sft, seed=5))
            measured = measure(str(Path(folder) / "policy"), cells, arguments.problems)
        figures[name] = {"solved": len({row.problem_id for row in chosen}), "steps": report["steps"], **measured}
        print(name, figures[name]["accuracy"], figures[name]["interval"], flush=True)
    best = np.array(figures["top_q"]["right"], dtype=float)
    for name in ("random", "rejection"):
        difference = best - np.array(figures[name]["right"], dtype=float)
        [[low, high]] = bootstrap_intervals(difference[:, None])
        figures[f"top_q_minus_{name}"] = {"difference": float(difference.mean()), "interval": [float(low), float(high)]}
    for each in figures.values():
        if isinstance(each, dict):
            each.pop("right", None)
    results = Path(__file__).parent / "results" / "selection_ablation.json"
    command = f"python bench/selection_ablation.py JOB_FOLDER --round {arguments.round} --samples {arguments.samples}"
    if arguments.trained is not None:
        command += f" --trained {arguments.trained}"
    write_record(results, figures, seed=1, command=command)


if __name__ == "__main__":
    main()
