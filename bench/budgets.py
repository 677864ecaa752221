"""Budgets on the toy ladder: adaptive sampling, and allocation of one budget over a set.

    python bench/budgets.py sample [--policy toy-bootstrap]
    python bench/budgets.py adaptive
    python bench/budgets.py allocation
    python bench/budgets.py thinking

`sample` draws 32 independent trajectories for each of 180 test problems from the nine cells of docs/toy.md. It is
a run of `treestar.benchmarks` in runs/budgets/ladder, and continues where it was stopped.

The other commands replay their rules on these samples, each problem's samples in `--orders` random orders, or on the
first 32 samples of another run of `majority` or `weighted_vote` (`--samples RUN --name NAME`). The difficulty model
that allocates a problem's samples was trained on the other half of the problems. Accuracies are means over the orders;
intervals are 95% paired bootstraps over problems. They write bench/results/budgets_adaptive.json and
budgets_allocation.json, or with `_NAME` at the end.

`thinking` trains the policy of thinking_policy.py unless runs/budgets/thinker has it, and measures it greedily on 200
problems under thinking budgets. It writes bench/results/budgets_thinking.json.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from thinking_policy import train, write_problems

from treestar.allocation import DifficultyModel, Evidence, Gain, next_round, train_difficulty, vote_gain
from treestar.allocation.difficulty import evidence_of_samples, majority_right
from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.matrix import BenchmarkConfig
from treestar.benchmarks.metrics import consensus_at_k
from treestar.benchmarks.runner import begin_run, run_benchmark
from treestar.benchmarks.samples import Row, iter_rows
from treestar.benchmarks.task import benchmark_worker
from treestar.components import ComponentsConfig, open_components
from treestar.policy import TransformersPolicy, load_policy
from treestar.policy.backends.generated import Generated
from treestar.policy.formats import END_OF_CODE, END_OF_STEP
from treestar.search import AdaptiveConsistencyConfig, Budget, ESCConfig
from treestar.search.adaptive_consistency import leader_stays
from treestar.search.esc import agree
from treestar.statistics import paired_difference
from treestar.storage.files import read_json
from treestar.storage.record import write_record
from treestar.types import Policy, Problem, Proposal, Sampling, State, Step
from treestar.workers import LocalWorkers

CELLS = (
    "chain_sum/mid", "chain_sum/hard", "simple_geometry/mid", "basic_arithmetic/mid", "basic_arithmetic/hard",
    "leg_counting/mid", "leg_counting/hard", "gsm_symbolic/taught", "gsm_symbolic/untaught",
)  # fmt: skip
PROBLEMS = 20
"""Of each cell."""
SET_SEED = 41_000
SAMPLES = 32
LONGEST_STEP = 320
AVERAGES = (2, 4, 8)
"""Totals of the allocation, in mean samples per problem."""

THINKING_BUDGETS = (0, 8, 16, 24, 32, 48, 64, 128)

FOLDER = Path("runs/budgets/ladder")
RESULTS = Path(__file__).parent / "results"


class WholePrograms(Policy):
    """The policy, which writes its whole program as one step: the same samples, several times cheaper."""

    def __init__(self, policy: TransformersPolicy) -> None:
        self.policy = policy
        self.name, self.step_format, self.recommended = policy.name, policy.step_format, policy.recommended
        self.preamble, self.display, self.final_answer = policy.preamble, policy.display, policy.final_answer

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        prompt = self.policy.prompt_tokens(state)
        generation = await self.policy.generate(prompt, n, sampling, seed, (END_OF_CODE,))
        return Proposal(tuple(map(program_step, generation.continuations)), len(prompt), generation.tokens)


def program_step(generated: Generated) -> Step:
    body = generated.text.replace(f"{END_OF_STEP}\n", "").replace(END_OF_STEP, "").removesuffix(END_OF_CODE).rstrip()
    complete = generated.text.endswith(END_OF_CODE)
    return Step(
        body,
        code=body if complete else "",
        ending="code" if complete else "truncated",
        log_probability=generated.log_probability,
        tokens=generated.tokens,
    )


def sample(name: str) -> None:
    """Draw the samples, or what is missing of them."""
    policy = load_policy(name, dtype="float32")
    config = BenchmarkConfig(
        datasets=("ladder",),
        strategies=("majority",),
        samples=SAMPLES,
        k=(1,),
        search={"max_step_tokens": LONGEST_STEP},
    )
    problems = tuple(problems_of_ladder())
    sets = [ProblemSet("ladder", problems, len(problems), 0)]
    about = {"name": name, "ppm": None, "num_fewshot": 0}

    async def work() -> None:
        async with open_components(ComponentsConfig(policy=WholePrograms(policy))) as components:  # type: ignore[arg-type]
            workers = LocalWorkers(benchmark_worker(components, lambda problem: problem.question, about), 16)
            begin_run(FOLDER, config, sets, about, resume=True)
            await run_benchmark(FOLDER, config, sets, workers)

    asyncio.run(work())


def problems_of_ladder() -> list[Problem]:
    """The problems, the cells in turns, so that every beginning of the list is balanced."""
    by_cell = [make_problems(*cell.split("/"), "test", PROBLEMS, seed=SET_SEED) for cell in CELLS]  # type: ignore[arg-type]
    return [problem for row in zip(*by_cell, strict=True) for problem in row]


def sampled(folder: Path) -> list[Row]:
    """The sampled problems with 32 samples each; the sets in turns, so that both halves have problems of each."""
    rows = sorted(iter_rows(folder / "samples.jsonl"), key=lambda row: (int(row["doc_id"]), row["task"]))
    return [{**row, **{name: row[name][:SAMPLES] for name in ("group", "right", "tokens")}} for row in rows]


def cell_counts(rows: Sequence[Row]) -> dict[str, int]:
    return dict(sorted(Counter(map(cell_of, rows)).items()))


def cell_of(row: Row) -> str:
    doc = row["doc"]
    return f"{doc['family']}/{doc['level']}" if "family" in doc else Path(row["task"].partition(".jsonl")[0]).name


def orders(rows: Sequence[Row], count: int) -> list[list[list[int]]]:
    """Random orders of each problem's samples: [order][problem] -> places."""
    rng = Random(0)
    return [[rng.sample(range(len(row["group"])), len(row["group"])) for row in rows] for _ in range(count)]


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


def adaptive(rows: Sequence[Row], count: int) -> dict[str, Any]:
    everything = replayed(rows, len, count)
    figures: dict[str, Any] = {
        "problems": len(rows),
        "cells": cell_counts(rows),
        "orders": count,
        "majority": {"samples": SAMPLES, "accuracy": rounded(everything["right"])},
    }
    for name, stop in (("adaptive_consistency", adaptive_consistency_stop), ("esc", esc_stop)):
        found = replayed(rows, stop, count)
        samples, tokens = (float(found[each].mean()) for each in ("samples", "tokens"))
        same = replayed(rows, fixed(round(samples)), count)
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


def replayed(rows: Sequence[Row], stop: Callable[[Sequence[int]], int], count: int) -> dict[str, Any]:
    """Accuracy, samples and tokens of every problem under a stopping rule, means over the orders."""
    values = np.zeros((3, len(rows)))
    for places_of in orders(rows, count):
        for problem, (row, places) in enumerate(zip(rows, places_of, strict=True)):
            taken = places[: stop([row["group"][place] for place in places])]
            tokens = sum(row["tokens"][place] for place in taken)
            values[:, problem] += majority_right(row, taken), len(taken), tokens
    return dict(zip(("right", "samples", "tokens"), values / count, strict=True))


# --- allocation ------------------------------------------------------------------------------------------------------


def allocation(rows: Sequence[Row], count: int) -> dict[str, Any]:
    models = [train_difficulty(half) for half in (rows[1::2], rows[::2])]  # each for the other half
    mean_tokens = float(np.mean([np.mean(row["tokens"]) for row in rows]))
    figures: dict[str, Any] = {
        "problems": len(rows),
        "cells": cell_counts(rows),
        "orders": count,
        "totals": {},
    }
    for average in AVERAGES:
        total = int(average * mean_tokens * len(rows))
        shares = oracle(rows, total)
        ways: dict[str, Any] = {
            "uniform": allocated(rows, total, uniform, count),
            "votes": allocated(rows, total, vote_gain, count),
            "difficulty": allocated(rows, total, partial(cross_fitted, models), count),
            "oracle": replayed_shares(rows, shares, count),
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


def cross_fitted(models: Sequence[DifficultyModel], evidence: Sequence[Evidence]) -> list[float]:
    """The gains by the model that was trained on the other half of the problems."""
    by_model = [model.gain(evidence) for model in models]
    return [by_model[place % 2][place] for place in range(len(evidence))]


def uniform(evidence: Sequence[Evidence]) -> list[float]:
    """The same number of samples for every problem: the next one goes to the problem with the fewest."""
    return [-each.rollouts * each.tokens / max(each.rollouts, 1) for each in evidence]


def allocated(rows: Sequence[Row], total: int, gain: Gain, count: int) -> dict[str, Any]:
    """Accuracy and tokens of every problem with the allocation of `treestar solve --total-tokens`."""
    values = np.zeros((2, len(rows)))
    for places_of in orders(rows, count):
        evidence = [Evidence() for _ in rows]
        while turns := next_round(evidence, Budget(max_generated_tokens=total), SAMPLES, LONGEST_STEP, gain):
            for turn in turns:
                taken = places_of[turn.place][: turn.number + 1]
                evidence[turn.place] = evidence_of_samples(rows[turn.place], taken)
        for problem, (row, places, each) in enumerate(zip(rows, places_of, evidence, strict=True)):
            values[:, problem] += majority_right(row, places[: each.rollouts]), each.tokens
    return dict(zip(("right", "tokens"), values / count, strict=True))


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


def replayed_shares(rows: Sequence[Row], shares: Sequence[int], count: int) -> dict[str, Any]:
    values = np.zeros((2, len(rows)))
    for places_of in orders(rows, count):
        for problem, (row, places, share) in enumerate(zip(rows, places_of, shares, strict=True)):
            taken = places[:share]
            values[:, problem] += majority_right(row, taken), sum(row["tokens"][place] for place in taken)
    return dict(zip(("right", "tokens"), values / count, strict=True))


# --- thinking --------------------------------------------------------------------------------------------------------


def thinking() -> dict[str, Any]:
    policy, problems, out = (FOLDER.parent / name for name in ("thinker", "additions.jsonl", "thinking"))
    if not (policy / "config.json").exists():
        train(policy, steps=1500, seed=0)
    write_problems(problems, 200, seed=1)
    command = [
        sys.executable, "-m", "treestar", "bench", f"jsonl:{problems}", "--policy", str(policy), "--strategy", "greedy",
        "--thinking-budgets", ",".join(map(str, THINKING_BUDGETS)), "--out", str(out), "--resume",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    [found] = read_json(out / "results.json")["thinking"]
    return {"problems": 200, **found}


def rounded(values: Any) -> float:
    return round(float(np.mean(values)), 4)


def difference(first: Any, second: Any) -> dict[str, Any]:
    found = paired_difference(first, second)
    return {"difference": round(found["difference"], 4), "interval": [round(end, 4) for end in found["interval"]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sample", "adaptive", "allocation", "thinking"))
    parser.add_argument("--policy", default="toy-bootstrap")
    parser.add_argument("--samples", type=Path, default=FOLDER, help="folder of the samples to replay")
    parser.add_argument("--name", help="the end of the record's name, for other samples")
    parser.add_argument("--orders", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.what == "sample":
        sample(arguments.policy)
        return
    if arguments.what == "thinking":
        figures = thinking()
    else:
        figures = {"adaptive": adaptive, "allocation": allocation}[arguments.what](
            sampled(arguments.samples), arguments.orders
        )
    name = "_".join(filter(None, ("budgets", arguments.what, arguments.name)))
    command = f"python bench/budgets.py {arguments.what} --orders {arguments.orders}"
    command += f" --samples RUN --name {arguments.name}" if arguments.name else ""
    write_record(RESULTS / f"{name}.json", figures, seed=0, command=command)


if __name__ == "__main__":
    main()
