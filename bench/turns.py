"""Measure when questions are answered if the model serves earlier searches first, and if all are served alike.

    treestar models fetch smollm2-135m
    python bench/turns.py [--policy embedded] [--dtype bfloat16] [--repeats 3]

64 everyday questions are asked at once, by majority of 16 samples, so many more continuations wait than fit in a batch.
Both ways in turns, with an empty prefix cache. Served alike means in the order of requests: a search that has taken a
step waits behind all others. Writes bench/results/turns.json.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

from treestar import MajorityConfig, Problem
from treestar.benchmarks import load_problems
from treestar.concurrency import TURN
from treestar.policy import TransformersPolicy, load_policy
from treestar.policy.wrapped import WrappedPolicy
from treestar.sandbox import SandboxExecutor
from treestar.search import Components, SearchResult, search_many
from treestar.storage.record import write_record
from treestar.types import Policy, Proposal, Sampling, State
from treestar.verifier import AnswerVerifier

QUESTIONS = Path(__file__).parents[1] / "recipes" / "word_problems" / "everyday.jsonl"
CONFIG = MajorityConfig(samples=16, max_depth=12, max_step_tokens=96)
RECORD = Path(__file__).parent / "results" / "turns.json"
SHARES = (1, 16, 32, 64)
"""After how many answers the time is taken."""


class ServedAlike(WrappedPolicy):
    """A policy whose requests all have the same turn."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        TURN.set(0)
        return await self.policy.propose(state, n, sampling, seed)


async def measure(policy: Policy, generator: Any, problems: list[Problem]) -> dict[str, float]:
    generator.prefixes.clear()
    read = generator.prefixes.read_tokens
    seconds: list[float] = []
    executor, verifier = SandboxExecutor(), AnswerVerifier()
    try:
        started = time.perf_counter()

        def note(_index: int, _result: SearchResult) -> None:
            seconds.append(time.perf_counter() - started)

        results = await search_many(problems, CONFIG, Components(policy, executor, verifier), on_result=note)
    finally:
        await executor.close()
        await verifier.close()
    found = {f"seconds_until_{count}": round(seconds[count - 1], 1) for count in SHARES}
    tokens = sum(result.stats.generated_tokens for result in results)
    return {
        **found,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds[-1], 1),
        "prompt_tokens_read": generator.prefixes.read_tokens - read,
        "right": sum(bool(result.correct) for result in results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    policy = load_policy(options.policy, dtype=options.dtype)
    assert isinstance(policy, TransformersPolicy), "only a model of this process has turns"
    problems = list(load_problems(f"jsonl:{QUESTIONS}").problems)[: SHARES[-1]]
    ways: dict[str, Policy] = {"earlier first": policy, "alike": ServedAlike(policy)}
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for repeat in range(options.repeats):
        for way in list(ways)[:: 1 if repeat % 2 == 0 else -1]:
            runs[way].append(asyncio.run(measure(ways[way], policy.generator, problems)))
            print(way, runs[way][-1], flush=True)
    figures = {way: {name: spread([run[name] for run in of_way]) for name in of_way[0]} for way, of_way in runs.items()}
    about = {"columns": "median, smallest, largest", "policy": options.policy, "dtype": options.dtype}
    write_record(RECORD, {**about, **figures}, seed=0)


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


if __name__ == "__main__":
    main()
