"""Tokens per second of the transformers backend on a CPU: torch's linear layers and packed ones, in turns.

    treestar models fetch smollm2-135m
    python bench/packed_linear.py [--policy embedded] [--repeats 7] [--dtypes float32 bfloat16]

Continues one prompt in 1 to 48 rows by 16 tokens each. Both models have the same weights; each repeat asks first the
one and then the other, so that both see the same machine.

Writes bench/results/packed_linear.json.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from treestar.policy import load_policy
from treestar.policy.backends.transformers import TransformersPolicy
from treestar.policy.models import Dtype, load_causal_model, policy_path
from treestar.storage.record import write_record
from treestar.types import Sampling

ROWS = (1, 4, 16, 48)
TOKENS = 16
QUESTION = "A farmer collects 84 eggs and puts them into boxes of 12. How many boxes does he need?\n"


def seconds(policy: TransformersPolicy, rows: int, seed: int) -> float:
    """Of generating `TOKENS` tokens in each of `rows` rows, reading the prompt included."""
    prompt = policy.tokenizer(QUESTION)["input_ids"]
    policy.forget()
    started = time.perf_counter()
    asyncio.run(policy.generate(prompt, rows, Sampling(max_tokens=TOKENS, temperature=1.0), seed, ()))
    return time.perf_counter() - started


def measure(plain: TransformersPolicy, packed: TransformersPolicy, rows: int, repeats: int) -> dict[str, Any]:
    pairs = [(seconds(plain, rows, seed), seconds(packed, rows, seed)) for seed in range(repeats + 1)][1:]
    speeds = {
        name: spread([rows * TOKENS / pair[place] for pair in pairs]) for place, name in enumerate(("plain", "packed"))
    }
    return {**speeds, "packed over plain": spread([one / other for one, other in pairs])}


def spread(values: list[float]) -> dict[str, float]:
    found = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, 2) for name, value in found.items()}


def compare(name: str, dtype: Dtype, repeats: int) -> dict[str, Any]:
    """The speeds of the policy `name` by number of rows."""
    packed: Any = load_policy(name, device="cpu", dtype=dtype)
    model = load_causal_model(policy_path(name), dtype=dtype)
    plain = TransformersPolicy(model, packed.tokenizer, packed.format, "plain")
    figures = {f"{rows} rows": measure(plain, packed, rows, repeats) for rows in ROWS}
    for rows, row in figures.items():
        print(dtype, rows, row, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare linear layers.")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    given = parser.parse_args()
    figures = {dtype: compare(given.policy, dtype, given.repeats) for dtype in given.dtypes}
    write_record(
        Path(__file__).parent / "results" / "packed_linear.json",
        {**figures, "threads": {"torch": torch.get_num_threads()}},
        seed=0,
        command=f"python bench/packed_linear.py --policy {given.policy} --repeats {given.repeats}",
    )


if __name__ == "__main__":
    main()
