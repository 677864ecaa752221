"""Compare the tokens per second of search and of raw generation, with 8, 32 and 128 problems in flight.

    python bench/throughput.py transformers
    python bench/throughput.py vllm              # in an environment such as make test-vllm makes, and reasoning-gym

Each search is recorded: its prompts, numbers of candidates and seeds. Then the same engine, with an empty prefix cache,
generates the same continuations again from all requests at once: no tree, no sandbox, no waiting for a parent. So both
read the same prompts and generate the same tokens, with the same maximum number of concurrent sequences. On
transformers, `generate` is also measured on batches of the same prompts; all its tokens count. If there are two cores,
model and engine compute on one and steps run on the other.

Writes bench/results/throughput_BACKEND.json.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treestar import MCTSConfig, Problem
from treestar.benchmarks.gym import make_problems
from treestar.policy import load_policy
from treestar.policy.backends.local import LocalPolicy
from treestar.policy.wrapped import WrappedPolicy
from treestar.sandbox import SandboxExecutor
from treestar.search import Components, search_many
from treestar.storage.record import write_record
from treestar.types import Proposal, Sampling, State
from treestar.verifier import AnswerVerifier

IN_FLIGHT = (8, 32, 128)
MAX_BATCH = 128
CELLS = (("chain_sum", "mid"), ("basic_arithmetic", "mid"), ("leg_counting", "mid"))
CONFIG = MCTSConfig(max_rollouts=2, children=8, early_stop=False, in_flight=1)
NAMES = {"transformers": "toy", "vllm": "vllm:toy?block_size=32"}

Asked = tuple[State, int, Sampling, int]


class RecordingPolicy(WrappedPolicy):
    """A policy that records its requests."""

    policy: LocalPolicy

    def __init__(self, policy: LocalPolicy) -> None:
        super().__init__(policy)
        self.asked: list[Asked] = []

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.asked.append((state, n, sampling, seed))
        return await self.policy.propose(state, n, sampling, seed)


@dataclass
class Run:
    """One measurement."""

    seconds: float
    tokens: int

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def problems_for(in_flight: int, seed: int) -> list[Problem]:
    """Two rounds of problems. The end, with fewer in flight, is part of the measurement."""
    count = max(2 * in_flight, 48) // len(CELLS)
    return [each for family, level in CELLS for each in make_problems(family, level, "validation", count, seed=seed)]


async def search(
    policy: RecordingPolicy, problems: Sequence[Problem], in_flight: int, config: MCTSConfig = CONFIG
) -> dict[str, Any]:
    """Search all problems. Returns the measurement and the CPU time of this thread."""
    components = Components(policy, SandboxExecutor(), AnswerVerifier())
    try:
        await search_many(problems[:2], config, components, seed=1)  # starts the sandbox and the grader
        policy.asked.clear()
        await empty_cache(policy.policy)
        started, thread = time.perf_counter(), time.thread_time()
        results = await search_many(problems, config, components, seed=0, concurrency=in_flight)
        run = Run(time.perf_counter() - started, sum(each.stats.generated_tokens for each in results))
        thread = time.thread_time() - thread
    finally:
        await components.executor.close()
        await components.verifier.close()
    asked = sum(n * len(policy.policy.prompt_tokens(state)) for state, n, _, _ in policy.asked)
    return {
        "run": run,
        "expansions": len(policy.asked),
        "prefix_share": 1 - tokens_read(policy.policy) / asked,
        "thread_us_an_expansion": 1e6 * thread / len(policy.asked),
    }


async def generate_raw(policy: LocalPolicy, asked: Sequence[Asked]) -> Run:
    """Generate the same continuations, all requested at once."""
    prompts = [policy.prompt_tokens(state) for state, *_ in asked]
    await empty_cache(policy)
    started = time.perf_counter()
    found = await asyncio.gather(
        *[
            policy.generate(prompt, n, sampling, seed, policy.format.stop_strings(state))
            for prompt, (state, n, sampling, seed) in zip(prompts, asked, strict=True)
        ]
    )
    seconds = time.perf_counter() - started
    return Run(seconds, sum(each.tokens for each in found))


def generate_in_batches(policy: Any, asked: Sequence[Asked]) -> Run:
    """transformers' `generate` on the same prompts, MAX_BATCH rows at a time. Every row gets 16 tokens, about the
    length of a step, so that none is wasted."""
    import torch

    prompts = [policy.prompt_tokens(state) for state, n, *_ in asked for _ in range(n)][: 4 * MAX_BATCH]
    tokenizer = policy.tokenizer
    started, tokens = time.perf_counter(), 0
    for first in range(0, len(prompts), MAX_BATCH):
        rows = prompts[first : first + MAX_BATCH]
        longest = max(map(len, rows))
        padding = tokenizer.pad_token_id
        ids = torch.tensor([[padding] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            policy.model.generate(
                ids, attention_mask=mask, do_sample=True, top_k=0, min_new_tokens=16, max_new_tokens=16
            )
        tokens += 16 * len(rows)
    return Run(time.perf_counter() - started, tokens)


async def empty_cache(policy: Any) -> None:
    """Clear the prefix cache and reset the counts of tokens read."""
    if hasattr(policy, "engine"):
        assert await asyncio.wrap_future(policy.engine.submit(policy.engine.engine.reset_prefix_cache()))
        policy.read_tokens = 0
        return
    from treestar.policy.backends.prefix_cache import PrefixCache

    policy.generator.prefixes = PrefixCache(policy.generator.prefixes.max_bytes)


def tokens_read(policy: Any) -> int:
    return int(policy.read_tokens if hasattr(policy, "engine") else policy.generator.prefixes.read_tokens)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), digits),
        "min": round(ordered[0], digits),
        "max": round(ordered[-1], digits),
    }


async def measure(policy: Any, in_flight: int, repeats: int) -> dict[str, Any]:
    searches, raws, plain = [], [], []
    for repeat in range(repeats):
        recording = RecordingPolicy(policy)
        searches.append(await search(recording, problems_for(in_flight, 900 + repeat), in_flight))
        raws.append(await generate_raw(policy, recording.asked))
        if hasattr(policy, "model"):
            plain.append(generate_in_batches(policy, recording.asked))
        print(in_flight, f"search {searches[-1]['run'].rate:.0f}, raw {raws[-1].rate:.0f} tokens/s", flush=True)
    found = {
        "problems": len(problems_for(in_flight, 900)),
        "tokens": [each["run"].tokens for each in searches],
        "raw_tokens": [each.tokens for each in raws],
        "search_tokens_per_second": spread([each["run"].rate for each in searches], 0),
        "raw_tokens_per_second": spread([each.rate for each in raws], 0),
        "search_over_raw": spread([one["run"].rate / other.rate for one, other in zip(searches, raws, strict=True)]),
        "share_of_prompt_tokens_from_prefix_cache": spread([each["prefix_share"] for each in searches]),
        "expansions": [each["expansions"] for each in searches],
        "search_thread_microseconds_an_expansion": spread([each["thread_us_an_expansion"] for each in searches], 0),
    }
    if plain:
        found["generate_tokens_per_second"] = spread([each.rate for each in plain], 0)
        found["search_over_generate"] = spread(
            [one["run"].rate / other.rate for one, other in zip(searches, plain, strict=True)]
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=NAMES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--in-flight", type=int, nargs="*", default=IN_FLIGHT)
    arguments = parser.parse_args()
    policy = load_policy(NAMES[arguments.backend], max_batch=MAX_BATCH, dtype="float32")

    async def all_sizes() -> dict[str, Any]:
        return {str(each): await measure(policy, each, arguments.repeats) for each in arguments.in_flight}

    figures = {
        "policy": policy.name,
        "most_sequences_at_a_time": MAX_BATCH,
        "search": CONFIG.to_json(),
        "in_flight": asyncio.run(all_sizes()),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    asyncio.run(policy.close()) if hasattr(policy, "close") else None
    write_record(Path(__file__).parent / "results" / f"throughput_{arguments.backend}.json", figures, seed=900)


if __name__ == "__main__":
    main()
