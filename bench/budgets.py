"""Budgets on the toy ladder: adaptive sampling, and allocation of one budget over a set.

    python bench/budgets.py sample [--policy embedded-bootstrap]
    python bench/budgets.py adaptive
    python bench/budgets.py allocation

`sample` draws 32 independent trajectories for each of 180 test problems, and 16 for each of 81 other problems, the
"earlier run" that a difficulty model learns from. Both are `treestar bench` runs in runs/budgets, so the command
continues where it was stopped. Problems are from the nine cells of docs/embedded.md.

The other commands replay their rules on these samples, each problem's samples in `ORDERS` random orders. Accuracies are
means over the orders; intervals are 95% paired bootstraps over problems. They write bench/results/budgets_adaptive.json
and budgets_allocation.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from treestar.allocation import Evidence, Gain, next_round, train_difficulty, vote_gain
from treestar.allocation.difficulty import evidence_of_samples, majority_right
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.metrics import consensus_at_k
from treestar.benchmarks.samples import Row, iter_rows
from treestar.search import AdaptiveConsistencyConfig, Budget, ESCConfig
from treestar.search.adaptive_consistency import leader_stays
from treestar.search.esc import agree
from treestar.statistics import paired_difference
from treestar.storage.record import write_record

CELLS = (
    "chain_sum/mid", "chain_sum/hard", "simple_geometry/mid", "basic_arithmetic/mid", "basic_arithmetic/hard",
    "leg_counting/mid", "leg_counting/hard", "gsm_symbolic/taught", "gsm_symbolic/untaught",
)  # fmt: skip
SETS = {"test": (20, 32), "validation": (9, 16)}
"""By split: problems of each cell, and samples of each problem."""
SET_SEED = 41_000
ORDERS = 20
SAMPLES = 32
LONGEST_STEP = 256
AVERAGES = (2, 4, 8)
"""Totals of the allocation, in mean samples per problem."""

FOLDER = Path("runs/budgets")
RESULTS = Path(__file__).parent / "results"


def sample(policy: str) -> None:
    """Draw the samples, or what is missing of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for split, (problems, samples) in SETS.items():
        file = FOLDER / f"{split}.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in problems_of(split, problems)))
        command = [
            sys.executable, "-m", "treestar", "bench", f"jsonl:{file}", "--out", str(FOLDER / split), "--resume",
            "--strategy", "majority", "--samples", str(samples), "--k", "1", "--temperature", "1.0",
            "--policy", policy, "--concurrency", "16",
        ]  # fmt: skip
        subprocess.run(command, check=True)


def problems_of(split: str, count: int) -> list[dict[str, str | None]]:
    """`count` problems of each cell, the cells in turns."""
    by_cell = [make_problems(*cell.split("/"), split, count, seed=SET_SEED) for cell in CELLS]  # type: ignore[arg-type]
    return [
        {"id": each.id, "question": each.question, "answer": each.answer, "family": family, "level": level}
        for row in zip(*by_cell, strict=True)
        for each, (family, level) in zip(row, (cell.split("/") for cell in CELLS), strict=True)
    ]


def sampled(split: str) -> list[Row]:
    """The sampled problems, in order."""
    return sorted(iter_rows(FOLDER / split / "samples.jsonl"), key=lambda row: int(row["doc_id"]))


def orders(rows: Sequence[Row]) -> list[list[list[int]]]:
    """Random orders of each problem's samples: [order][problem] -> places."""
    rng = Random(0)
    return [[rng.sample(range(len(row["group"])), len(row["group"])) for row in rows] for _ in range(ORDERS)]


# --- adaptive sampling -----------------------------------------------------------------------------------------------


def adaptive_consistency_stop(groups: Sequence[int]) -> int:
    """How many of these samples Adaptive-Consistency takes."""
    config = AdaptiveConsistencyConfig()
    votes: Counter[int] = Counter()
    for count, group in enumerate(groups, start=1):
        votes.update([group] if group >= 0 else [])
        if leader_stays(votes.values()) > config.stay_probability:
            return count
    return len(groups)


def esc_stop(groups: Sequence[int]) -> int:
    """How many of these samples ESC takes."""
    window = ESCConfig().window
    for end in range(window, len(groups) + 1, window):
        if agree([None if group < 0 else group for group in groups[end - window : end]]):
            return end
    return len(groups)


def fixed(count: int) -> Callable[[Sequence[int]], int]:
    """The rule that takes `count` samples."""
    return lambda groups: min(count, len(groups))


def adaptive() -> dict[str, Any]:
    rows = sampled("test")
    everything = replayed(rows, len)
    figures: dict[str, Any] = {
        "problems": len(rows),
        "orders": ORDERS,
        "majority": {"samples": SAMPLES, "accuracy": rounded(everything["right"])},
    }
    for name, stop in (("adaptive_consistency", adaptive_consistency_stop), ("esc", esc_stop)):
        found = replayed(rows, stop)
        samples, tokens = (float(found[each].mean()) for each in ("samples", "tokens"))
        same = replayed(rows, fixed(round(samples)))
        figures[name] = {
            "accuracy": rounded(found["right"]),
            "minus_majority": difference(found["right"], everything["right"]),
            "samples": round(samples, 2),
            "times_fewer_samples": round(SAMPLES / samples, 2),
            "samples_saved": round(1 - samples / SAMPLES, 4),
            "tokens_saved": round(1 - tokens / float(everything["tokens"].mean()), 4),
            "minus_majority_of_as_many_samples": difference(found["right"], same["right"]),
        }
    return figures


def replayed(rows: Sequence[Row], stop: Callable[[Sequence[int]], int]) -> dict[str, Any]:
    """Accuracy, samples and tokens of every problem under a stopping rule, means over the orders."""
    values = np.zeros((3, len(rows)))
    for places_of in orders(rows):
        for problem, (row, places) in enumerate(zip(rows, places_of, strict=True)):
            taken = places[: stop([row["group"][place] for place in places])]
            tokens = sum(row["tokens"][place] for place in taken)
            values[:, problem] += majority_right(row, taken), len(taken), tokens
    return dict(zip(("right", "samples", "tokens"), values / ORDERS, strict=True))


# --- allocation ------------------------------------------------------------------------------------------------------


def allocation() -> dict[str, Any]:
    rows = sampled("test")
    model = train_difficulty(sampled("validation"))
    mean_tokens = float(np.mean([np.mean(row["tokens"]) for row in rows]))
    figures: dict[str, Any] = {"problems": len(rows), "orders": ORDERS, "totals": {}}
    for average in AVERAGES:
        total = int(average * mean_tokens * len(rows))
        shares = oracle(rows, total)
        ways: dict[str, Any] = {
            "uniform": allocated(rows, total, uniform),
            "votes": allocated(rows, total, vote_gain),
            "difficulty": allocated(rows, total, model.gain),
            "oracle": replayed_shares(rows, shares),
        }
        gained = {name: found["right"] - ways["uniform"]["right"] for name, found in ways.items()}
        figures["totals"][f"{average} samples"] = {
            "total_tokens": total,
            **{
                name: {
                    "accuracy": rounded(found["right"]),
                    "tokens_spent": round(float(found["tokens"].sum()) / total, 4),
                    "minus_uniform": difference(found["right"], ways["uniform"]["right"]),
                    "share_of_oracle_gain": round(float(gained[name].mean() / gained["oracle"].mean()), 3),
                }
                for name, found in ways.items()
            },
        }
    return figures


def uniform(evidence: Sequence[Evidence]) -> list[float]:
    """The same number of samples for every problem: the next one goes to the problem with the fewest."""
    return [-each.rollouts * each.tokens / max(each.rollouts, 1) for each in evidence]


def allocated(rows: Sequence[Row], total: int, gain: Gain) -> dict[str, Any]:
    """Accuracy and tokens of every problem with the allocation of `treestar solve --total-tokens`."""
    values = np.zeros((2, len(rows)))
    for places_of in orders(rows):
        evidence = [Evidence() for _ in rows]
        while turns := next_round(evidence, Budget(max_generated_tokens=total), SAMPLES, LONGEST_STEP, gain):
            for turn in turns:
                taken = places_of[turn.place][: turn.number + 1]
                evidence[turn.place] = evidence_of_samples(rows[turn.place], taken)
        for problem, (row, places, each) in enumerate(zip(rows, places_of, evidence, strict=True)):
            values[:, problem] += majority_right(row, places[: each.rollouts]), each.tokens
    return dict(zip(("right", "tokens"), values / ORDERS, strict=True))


def oracle(rows: Sequence[Row], total: int) -> list[int]:
    """The samples of each problem for an allocation that knows every problem's true accuracy at each number of samples,
    but not how they will turn out (Damani et al. 2024): the best steps of each problem's curve first, by gain per
    token."""
    steps = []
    spent = 0.0
    for problem, row in enumerate(rows):
        tokens = float(np.mean(row["tokens"]))
        right = [row["right"][row["group"].index(group)] for group in range(max(row["group"]) + 1)]
        curve = [consensus_at_k(row["group"], right, k).accuracy for k in range(1, SAMPLES + 1)]
        spent += tokens
        reached = 1
        while reached < SAMPLES:
            rates = [(curve[k - 1] - curve[reached - 1]) / (k - reached) for k in range(reached + 1, SAMPLES + 1)]
            further = reached + 1 + int(np.argmax(rates))
            if rates[further - reached - 1] <= 1e-9:
                break
            steps.append((rates[further - reached - 1] / tokens, problem, further, (further - reached) * tokens))
            reached = further
    shares = [1] * len(rows)
    for _, problem, further, tokens in sorted(steps, reverse=True):
        if spent + tokens <= total:
            shares[problem] = max(shares[problem], further)
            spent += tokens
    return shares


def replayed_shares(rows: Sequence[Row], shares: Sequence[int]) -> dict[str, Any]:
    values = np.zeros((2, len(rows)))
    for places_of in orders(rows):
        for problem, (row, places, count) in enumerate(zip(rows, places_of, shares, strict=True)):
            taken = places[:count]
            values[:, problem] += majority_right(row, taken), sum(row["tokens"][place] for place in taken)
    return dict(zip(("right", "tokens"), values / ORDERS, strict=True))


def rounded(values: Any) -> float:
    return round(float(np.mean(values)), 4)


def difference(first: Any, second: Any) -> dict[str, Any]:
    found = paired_difference(first, second)
    return {"difference": round(found["difference"], 4), "interval": [round(end, 4) for end in found["interval"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sample", "adaptive", "allocation"))
    parser.add_argument("--policy", default="embedded-bootstrap")
    arguments = parser.parse_args()
    if arguments.what == "sample":
        sample(arguments.policy)
        return
    figures = {"adaptive": adaptive, "allocation": allocation}[arguments.what]()
    write_record(RESULTS / f"budgets_{arguments.what}.json", figures, seed=0)


if __name__ == "__main__":
    main()
