"""Measure the cost of PPM scoring relative to the policy's generation, on the toy models.

    python bench/scoring_cost.py

Searches 96 problems with the toy policy and a PPM over the same backbone. The PPM's head is random: its scores are
meaningless, but cost the same. Timed are the two computing threads: generating and scoring.

Writes bench/results/scoring_cost.json.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from treestar import MCTSConfig, SearchResult
from treestar.benchmarks.gym import make_problems
from treestar.components import ComponentsConfig, open_components
from treestar.policy import load_policy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.ppm import TransformersScorer, ppm_from_policy
from treestar.search import search_many
from treestar.storage.record import write_record

CELLS = (("chain_sum", "mid"), ("basic_arithmetic", "mid"), ("leg_counting", "mid"))
REPEATS = 3
CONFIGS = {
    "4 children, temperature 0.6": MCTSConfig(
        max_rollouts=10**6, children=4, temperature=0.6, max_generated_tokens=600
    ),
    "8 children, temperature 1": MCTSConfig(max_rollouts=10**6, children=8, max_generated_tokens=1200),
    "4 distinct children, temperature 0.6": MCTSConfig(
        max_rollouts=10**6,
        children=4,
        temperature=0.6,
        distinct=True,
        min_share=0.1,
        rule="puct",
        exploration=1.0,
        widen_above=0.001,
        max_generated_tokens=600,
    ),
}


class Timed:
    """A function that adds up its CPU time on the thread that runs it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.thread_time()
        try:
            return self.function(*arguments)
        finally:
            self.seconds += time.thread_time() - started


async def measure(config: MCTSConfig, seed: int) -> dict[str, float]:
    policy = load_policy("toy", dtype="float32")
    assert isinstance(policy, TransformersPolicy)
    ppm = ppm_from_policy("toy", "float32")
    torch.manual_seed(seed)
    torch.nn.init.normal_(ppm.model.score.weight, std=0.1)
    ppm.model.eval()
    scorer = TransformersScorer(ppm, "random head")
    generating, scoring = Timed(policy.generator.advance), Timed(scorer.answer)
    policy.generator.advance, scorer.answer = generating, scoring  # type: ignore[method-assign]
    problems = [problem for cell in CELLS for problem in make_problems(*cell, "validation", 32, seed=seed)]
    async with open_components(ComponentsConfig(policy=policy, scorer=scorer)) as components:
        results: list[SearchResult] = await search_many(problems, config, components, seed)
    return {
        "scoring_over_generating": scoring.seconds / generating.seconds,
        "scored_tokens_over_generated": sum(each.stats.scored_tokens for each in results)
        / sum(each.stats.generated_tokens for each in results),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    figures = {}
    for name, config in CONFIGS.items():
        runs = [asyncio.run(measure(config, 700 + repeat)) for repeat in range(REPEATS)]
        figures[name] = {
            key: {
                "median": round(statistics.median(run[key] for run in runs), 3),
                "min": round(min(run[key] for run in runs), 3),
                "max": round(max(run[key] for run in runs), 3),
            }
            for key in runs[0]
        }
    write_record(Path(__file__).parent / "results" / "scoring_cost.json", figures, seed=700)


if __name__ == "__main__":
    main()
