"""An ordinary pretrained model as it is: SmolLM2-135M-Instruct on GSM8K and SVAMP.

    treestar models fetch smollm2-135m
    python bench/real_model.py equality --data FOLDER [--problems 200] [--tokens 128]
    python bench/real_model.py strategies --data FOLDER [--problems 20] [--samples 8]

`equality`: greedy replies in the `cot` format, step by step, beside those of transformers' own `generate` on the same
prompts: equal tokens, equal text, equal answers. Both compute in float32 and are cut after `--tokens` tokens.

`strategies`: the formats `cot` and `chat` under greedy, majority of `--samples`, and MCTS with the tokens that majority
spent: accuracy with a 95% interval, trajectories without an answer, tokens, seconds; in the dtype that is fast on the
device.

FOLDER holds gsm8k_test.jsonl and svamp.jsonl. Writes bench/results/real_model_PART.json.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import treestar
from treestar.benchmarks.datasets import load_problems
from treestar.policy import load_policy
from treestar.search import GreedyConfig, MajorityConfig, MCTSConfig, SearchConfig, SearchResult
from treestar.statistics import bootstrap_intervals
from treestar.storage.record import write_record
from treestar.types import Problem, State
from treestar.verifier import equivalent, extract_answer

MODEL = "smollm2-135m"
RESULTS = Path(__file__).parent / "results"
SETS = ("gsm8k", "svamp")
BATCH = 32


def equality(problems: Sequence[Problem], tokens: int) -> dict[str, Any]:
    """Greedy replies of both, compared."""
    policy: Any = load_policy(MODEL, "cot", dtype="float32")
    prompts = [policy.prompt_tokens(State(problem)) for problem in problems]
    started = time.perf_counter()
    references = [
        reply
        for first in range(0, len(prompts), BATCH)
        for reply in generated(policy, prompts[first : first + BATCH], tokens)
    ]
    between = time.perf_counter()
    # A budget ends a search between two steps, so a step must not be longer than the budget.
    config = GreedyConfig(max_generated_tokens=tokens, max_step_tokens=tokens)
    with treestar.Solver(policy, config, concurrency=BATCH) as solver:
        results = solver.solve_many(list(problems))
    ended = time.perf_counter()
    own = [reply_tokens(result)[:tokens] for result in results]
    texts = [[policy.tokenizer.decode(ids) for ids in replies] for replies in (references, own)]
    answers = [[extract_answer(text) for text in replies] for replies in texts]
    return {
        "problems": len(problems),
        "tokens_at_most": tokens,
        "equal_tokens": sum(one == other for one, other in zip(references, own, strict=True)),
        "equal_text": sum(one == other for one, other in zip(*texts, strict=True)),
        "equal_answers": sum(one == other for one, other in zip(*answers, strict=True)),
        "first_difference_at": sorted(
            first_difference(one, other) for one, other in zip(references, own, strict=True) if one != other
        ),
        "tokens_generate": sum(map(len, references)),
        "tokens_treestar": sum(result.stats.generated_tokens for result in results),
        "seconds_generate": round(between - started, 1),
        "seconds_treestar": round(ended - between, 1),
    }


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))


def generated(policy: Any, prompts: Sequence[list[int]], tokens: int) -> list[list[int]]:
    """Greedy replies by transformers' `generate`, without the token that ends them."""
    import torch

    width = max(map(len, prompts))
    padding = policy.tokenizer.pad_token_id
    ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        rows = policy.model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False)
    replies = rows[:, width:].tolist()
    ends = policy.generator.end_tokens
    return [
        reply[: next((place for place, token in enumerate(reply) if token in ends), len(reply))] for reply in replies
    ]


def reply_tokens(result: SearchResult) -> list[int]:
    """The tokens of the steps of a greedy search, in order."""
    assert result.tree is not None
    return [token for node in result.tree.nodes[1:] if node.step is not None for token in node.step.token_ids]


def strategies(problems: Sequence[Problem], samples: int, seed: int) -> dict[str, Any]:
    """Every format under every strategy."""
    found: dict[str, Any] = {}
    for step_format in ("cot", "chat"):
        policy = load_policy(MODEL, step_format)
        budget = 0
        for name in ("greedy", "majority", "mcts"):
            with treestar.Solver(policy, config_of(name, samples, budget), seed=seed, concurrency=BATCH) as solver:
                started = time.perf_counter()
                results = solver.solve_many(list(problems))
                seconds = time.perf_counter() - started
            found[f"{step_format}/{name}"] = row = summary(problems, results, seconds)
            budget = row["tokens"] // len(problems)
            print(step_format, name, row, flush=True)
    return found


def config_of(name: str, samples: int, budget: int) -> SearchConfig:
    limits = {"max_depth": 24, "max_step_tokens": 192}
    if name == "greedy":
        return GreedyConfig(**limits)
    if name == "majority":
        return MajorityConfig(samples=samples, **limits)
    return MCTSConfig(max_rollouts=None, max_generated_tokens=budget, children=4, early_stop=False, **limits)


def summary(problems: Sequence[Problem], results: Sequence[SearchResult], seconds: float) -> dict[str, Any]:
    right = [
        result.answer is not None and equivalent(str(problem.answer), result.answer)
        for problem, result in zip(problems, results, strict=True)
    ]
    ends = [node for result in results if result.tree for node in result.tree.nodes if node.terminal is not None]
    return {
        "problems": len(problems),
        "right": sum(right),
        "interval": [round(float(end), 3) for end in bootstrap_intervals(np.array(right, dtype=float)[:, None])[0]],
        "trajectories": len(ends),
        "without_an_answer": sum(node.answer is None for node in ends),
        "why": dict(Counter(node.terminal for node in ends if node.answer is None)),
        "tokens": sum(result.stats.generated_tokens for result in results),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["equality", "strategies"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=0, help="of each set")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    count = arguments.problems or {"equality": 200, "strategies": 20}[arguments.part]
    found = {}
    for name in SETS:
        problems = load_problems(name, arguments.data, count).problems
        if arguments.part == "equality":
            found[name] = equality(problems, arguments.tokens)
        else:
            found[name] = strategies(problems, arguments.samples, arguments.seed)
        print(name, found[name], flush=True)
    # Without the folder's path, which is different on every machine.
    command = (
        f"python bench/real_model.py {arguments.part} --data FOLDER --problems {count} --tokens {arguments.tokens}"
    )
    if arguments.part == "strategies":
        command += f" --samples {arguments.samples}"
    write_record(RESULTS / f"real_model_{arguments.part}.json", found, arguments.seed, command)


if __name__ == "__main__":
    main()
