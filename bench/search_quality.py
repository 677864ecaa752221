"""What a PPM is worth to each strategy, at the same number of generated tokens.

    python bench/search_quality.py trees  --out runs/quality     # search the training problems, with gold answers
    python bench/search_quality.py train  --out runs/quality     # a PPM by each objective, from the same trees
    python bench/search_quality.py search --out runs/quality     # every strategy and peer on the test problems
    python bench/search_quality.py report --out runs/quality     # figures, plots, bench/results/search_quality.json

All on the bootstrap policy, on three cells of reasoning-gym that it solves about half of the time. Training, held-out
and test problems come from disjoint splits. `search` keeps a line a problem in searches.jsonl and goes on where it
stopped. It notes the answer that each rule would choose whenever more tokens were generated, so one search gives the
accuracy at every smaller budget too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean as mean
from typing import Any

import numpy as np
from peers import PEERS

from treestar import MCTSConfig, Problem, Solver
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.record import write_record
from treestar.policy import load_policy
from treestar.ppm import load_scorer, ppm_from_policy, read_trees
from treestar.ppm.config import PPMTrainingConfig
from treestar.ppm.evaluation import evaluate
from treestar.ppm.objectives import Objective
from treestar.ppm.training import train_ppm
from treestar.ppm.training_data import prepare
from treestar.search import (
    AdaptiveBranchingConfig,
    BeamSearchConfig,
    Components,
    DVTSConfig,
    GreedyConfig,
    Search,
    SearchConfig,
    WeightedVoteConfig,
    choose,
    search_one,
)
from treestar.search.answer import Choice
from treestar.statistics import bootstrap_intervals, paired_difference
from treestar.types import State
from treestar.verifier import AnswerVerifier
from treestar.verifier.sandbox import SandboxExecutor

CELLS = (("chain_sum", "mid"), ("basic_arithmetic", "mid"), ("leg_counting", "mid"))
OBJECTIVES: tuple[Objective, ...] = ("pairs", "orm", "q_regression")
ENOUGH = 10**6

CHUNK = 200
"""Problems between two savings of their trees."""

TEMPERATURE = 0.6
"""Of every strategy and peer. On validation problems all strategies are better at 0.6 than at 1."""

SEARCHES: dict[str, Callable[..., SearchConfig]] = {
    "greedy": lambda **_: GreedyConfig(),
    "samples": partial(WeightedVoteConfig, samples=ENOUGH, in_flight=4),
    "beam": partial(BeamSearchConfig, children=2, beam_width=2),
    "dvts": partial(DVTSConfig, children=2, subtrees=2),
    "adaptive_branching": partial(AdaptiveBranchingConfig, rollouts=ENOUGH),
    "mcts": partial(
        MCTSConfig,
        rollouts=ENOUGH,
        children=4,
        distinct=True,
        min_share=0.1,
        rule="puct",
        exploration=1.0,
        widen_above=0.001,
    ),
}
"""treestar's own strategies. `samples` serves majority, best of n and weighted vote, which differ in the choice alone.
Sizes were chosen on validation problems: with the defaults of beam search and DVTS, 1000 tokens do not finish a round.
"""

CHOICES: tuple[Choice, ...] = ("weighted", "majority", "best")


@dataclass
class Line:
    """One search of one problem."""

    strategy: str
    ppm: str
    """The objective that the PPM was trained by; "" without one."""
    seed: int
    problem: str
    cell: str
    answers: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    """For each rule of choice: (tokens generated, whether the answer chosen then is right), at every change."""
    generated_tokens: int = 0
    scored_tokens: int = 0
    executions: int = 0
    nodes: int = 0
    stopped: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        return self.strategy, self.ppm, self.seed, self.problem


def problems_of(split: Any, count: int, seed: int) -> list[Problem]:
    """`count` problems, as many of each cell, shuffled."""
    found = [
        problem
        for family, level in CELLS
        for problem in make_problems(family, level, split, count // len(CELLS), seed=seed)
    ]
    random.Random(seed).shuffle(found)
    return found


def cell_of(problem: Problem) -> str:
    return f"{problem.metadata['family']}/{problem.metadata['level']}"


def make_trees(out: Path, arguments: argparse.Namespace) -> None:
    # Distinct candidates give some three times the pairs for the same tokens.
    config = MCTSConfig(gold=True, early_stop=False, distinct=True, min_share=0.002)
    for name, split, count, seed in (
        ("train", "train", arguments.training, 101),
        ("held-out", "validation", arguments.held_out, 202),
    ):
        folder = out / "trees" / name
        folder.mkdir(parents=True, exist_ok=True)
        problems = problems_of(split, count, seed)[arguments.part :: arguments.parts]
        missing = [each for each in problems if not (folder / f"{each.id}.json").exists()]
        started, tokens = time.perf_counter(), 0
        with Solver("embedded-bootstrap", config, seed=seed) as solver:
            for first in range(0, len(missing), CHUNK):
                for result in solver.solve_many(missing[first : first + CHUNK]):
                    assert result.tree is not None
                    result.tree.save(folder / f"{result.problem.id}.json")
                    tokens += result.stats.generated_tokens
                solved, seconds = min(first + CHUNK, len(missing)), time.perf_counter() - started
                print(f"{name}: {solved} of {len(missing)}, {tokens / seconds:.0f} tokens/s", flush=True)


def train(out: Path, arguments: argparse.Namespace) -> None:
    """A PPM by each objective, from the same trees in as many steps: those of `--epochs` over the pairs."""
    trees = read_trees(out / "trees" / "train")
    found = list(trees)
    ppm = ppm_from_policy("embedded-bootstrap", "float32")

    def config_of(objective: Objective, epochs: float) -> PPMTrainingConfig:
        return PPMTrainingConfig(
            objective=objective, epochs=epochs, learning_rate=1e-3, batch_tokens=3072, bf16=True, optimizer="muon"
        )

    steps = {each: len(prepare(found, ppm, config_of(each, 1)).batches) for each in ("pairs", *arguments.objectives)}
    for objective in arguments.objectives:
        folder = out / f"ppm-{objective}"
        if not (folder / "training.json").exists():
            epochs = round(arguments.epochs * steps["pairs"] / steps[objective], 2)
            report = train_ppm(
                found,
                "embedded-bootstrap",
                folder,
                config_of(objective, epochs),
                skipped=trees.skipped,
                on_progress=lambda each: print(each, flush=True) if each.pair_accuracy is not None else None,
            )
            print(objective, report["pair_accuracy"], f"{report['seconds']:.0f} s")


async def search_all(out: Path, arguments: argparse.Namespace) -> None:
    """Run what is missing in searches.jsonl."""
    problems = problems_of("test", arguments.problems, 303)
    path = out / "searches.jsonl"
    done = {line.key for line in read_lines(path)}
    jobs = [
        (Line(strategy, ppm, seed, problem.id, cell_of(problem)), problem)
        for seed in range(arguments.seeds)
        for strategy, ppm in arguments.searches
        for problem in problems
    ]
    missing = [job for job in jobs if job[0].key not in done]
    policy, executor, verifier = load_policy("embedded-bootstrap"), SandboxExecutor(), AnswerVerifier()
    scorers = {name: load_scorer(str(out / f"ppm-{name}")) for name in {line.ppm for line, _ in missing} - {""}}
    places = asyncio.Semaphore(arguments.concurrency)
    started, finished, tokens = time.perf_counter(), 0, 0

    async def run(line: Line, problem: Problem) -> None:
        nonlocal finished, tokens
        async with places:
            components = Components(policy, executor, verifier, scorers.get(line.ppm))
            await (search_with_peer if line.strategy in PEERS else search_own)(
                line, problem, components, arguments.tokens
            )
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")
        finished, tokens = finished + 1, tokens + line.generated_tokens
        if finished % 50 == 0:
            rate = tokens / (time.perf_counter() - started)
            print(
                f"{line.strategy} {line.ppm} {line.seed}: {finished} of {len(missing)}, {rate:.0f} tokens/s", flush=True
            )

    try:
        await asyncio.gather(*[run(*job) for job in missing])
    finally:
        await executor.close()
        await verifier.close()


async def search_own(line: Line, problem: Problem, components: Components, tokens: int) -> None:
    chosen: dict[str, list[tuple[int, str]]] = {choice: [] for choice in CHOICES}

    def note(search: Search[SearchConfig]) -> None:
        for choice in CHOICES:
            found = choose(search.groups, choice)
            answer = found[0].answer if found is not None else None
            before = chosen[choice][-1][1] if chosen[choice] else None
            if answer is not None and answer != before:
                chosen[choice].append((search.stats.generated_tokens, answer))

    config = SEARCHES[line.strategy](generated_tokens=tokens, temperature=TEMPERATURE)
    result = await search_one(problem, config, components, line.seed, on_progress=note)
    for choice, changes in chosen.items():
        line.answers[choice] = [(at, await components.verifier.accepts(problem, answer)) for at, answer in changes]
    stats = result.stats
    line.generated_tokens, line.scored_tokens = stats.generated_tokens, stats.scored_tokens
    line.executions, line.nodes, line.stopped = stats.executions, stats.nodes, result.stopped


async def search_with_peer(line: Line, problem: Problem, components: Components, tokens: int) -> None:
    result = await PEERS[line.strategy](problem, components, tokens, TEMPERATURE, line.seed)
    line.answers["own"] = [(0, result.correct)]
    line.generated_tokens, line.scored_tokens = result.generated_tokens, result.scored_tokens
    line.executions = result.executions


def read_lines(path: Path) -> Iterator[Line]:
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            yield Line(**json.loads(text))


def right_at(line: Line, choice: str, tokens: int) -> bool:
    """Whether the answer that `choice` gave after at most `tokens` generated tokens is right."""
    right = False
    for at, correct in line.answers[choice]:
        if at > tokens:
            break
        right = correct
    return right


METHODS: dict[str, tuple[str, str, str]] = {
    "greedy": ("greedy", "", "best"),
    "majority": ("samples", "pairs", "majority"),
    "best of n": ("samples", "pairs", "best"),
    "weighted vote": ("samples", "pairs", "weighted"),
    "beam search": ("beam", "pairs", "weighted"),
    "DVTS": ("dvts", "pairs", "weighted"),
    "adaptive branching": ("adaptive_branching", "pairs", "weighted"),
    "MCTS + PPM": ("mcts", "pairs", "weighted"),
    "MCTS + ORM": ("mcts", "orm", "weighted"),
    "MCTS + Q-regression": ("mcts", "q_regression", "weighted"),
    "best of n, ORM": ("samples", "orm", "best"),
    "TreeQuest StandardMCTS": ("treequest_mcts", "pairs", "own"),
    "TreeQuest ABMCTSA": ("treequest_ab_mcts_a", "pairs", "own"),
    "its_hub beam search": ("its_hub_beam", "pairs", "own"),
    "its_hub particle filtering": ("its_hub_particles", "pairs", "own"),
}
"""What the report compares: strategy, the PPM's objective, and the rule by which the answer is chosen."""

Rows = dict[str, list[Line]]
"""The lines of each problem, one for every seed."""


def report(out: Path, arguments: argparse.Namespace) -> None:
    by_search: dict[tuple[str, str], Rows] = {}
    for line in read_lines(out / "searches.jsonl"):
        by_search.setdefault((line.strategy, line.ppm), {}).setdefault(line.problem, []).append(line)
    found = {name: by_search[method[:2]] for name, method in METHODS.items() if method[:2] in by_search}
    accuracy = {name: by_problem(rows, METHODS[name][2], arguments.tokens) for name, rows in found.items()}
    figures = {
        "problems": len(problems_of("test", arguments.problems, 303)),
        "budget": arguments.tokens,
        "temperature": TEMPERATURE,
        "methods": {name: method_figures(found[name], accuracy[name]) for name in found},
        "MCTS + PPM minus": {
            name: compare(accuracy["MCTS + PPM"], accuracy[name]) for name in found if name != "MCTS + PPM"
        },
        "accuracy by tokens": {
            name: curve(found[name], METHODS[name][2], arguments.tokens) for name in found if METHODS[name][2] != "own"
        },
        "ppm": {
            name: ppm_figures(out, name) for name in OBJECTIVES if (out / f"ppm-{name}" / "training.json").exists()
        },
    }
    draw(figures, Path(arguments.picture))
    write_record(Path(__file__).parent / "results" / "search_quality.json", figures, 0)


def by_problem(rows: Rows, choice: str, tokens: int) -> dict[str, float]:
    """Each problem's share of seeds with a right answer."""
    return {
        problem: sum(right_at(line, choice, tokens) for line in lines) / len(lines) for problem, lines in rows.items()
    }


def interval(values: Iterable[float]) -> dict[str, Any]:
    array = np.array(list(values), dtype=float)
    [[low, high]] = bootstrap_intervals(array[:, None])
    return {"accuracy": round(float(array.mean()), 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def method_figures(rows: Rows, accuracy: dict[str, float]) -> dict[str, Any]:
    lines = [line for each in rows.values() for line in each]
    cells = sorted({line.cell for line in lines})
    of_cell = {line.problem: line.cell for line in lines}
    return {
        **interval(accuracy.values()),
        "problems": len(rows),
        "seeds": len({line.seed for line in lines}),
        "cells": {cell: round(mean(v for p, v in accuracy.items() if of_cell[p] == cell), 3) for cell in cells},
        "generated_tokens": round(mean(line.generated_tokens for line in lines), 1),
        "scored_tokens": round(mean(line.scored_tokens for line in lines), 1),
        "executions": round(mean(line.executions for line in lines), 1),
        "stopped": dict(Counter(line.stopped for line in lines)),
    }


def compare(first: dict[str, float], second: dict[str, float]) -> dict[str, Any]:
    """Over the problems that both have."""
    shared = sorted(first.keys() & second.keys())
    return paired_difference([first[each] for each in shared], [second[each] for each in shared])


def curve(rows: Rows, choice: str, most: int) -> list[dict[str, Any]]:
    budgets = [most * 2**power // 32 for power in range(6)]
    return [{"tokens": tokens, **interval(by_problem(rows, choice, tokens).values())} for tokens in budgets]


def ppm_figures(out: Path, objective: str) -> dict[str, Any]:
    """The PPM on the held-out trees."""
    trees = read_trees(out / "trees" / "held-out")
    scorer = load_scorer(str(out / f"ppm-{objective}"))

    def score(states: Sequence[State]) -> list[float]:
        return list(asyncio.run(scorer.score(states)).values)

    found = evaluate(list(trees), score, trees.skipped).to_json()
    found["trees"]["skipped_trees"] = len(found["trees"]["skipped_trees"])
    training = json.loads((out / f"ppm-{objective}" / "training.json").read_text(encoding="utf-8"))
    training["data"]["trees"]["skipped_trees"] = len(training["data"]["trees"]["skipped_trees"])
    return {
        "held-out trees": found,
        "training": {key: training[key] for key in ("settings", "data", "seconds", "tokens")},
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, (name, points) in enumerate(figures["accuracy by tokens"].items()):
        ends = list(zip(*[point["interval"] for point in points], strict=True))
        tokens = [point["tokens"] for point in points]
        axes.plot(
            tokens, [point["accuracy"] for point in points], marker="o", markersize=3, label=name, color=f"C{index}"
        )
        axes.fill_between(tokens, *ends, color=f"C{index}", alpha=0.1, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("generated tokens a problem, at most")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


STAGES = {
    "trees": make_trees,
    "train": train,
    "search": lambda out, arguments: asyncio.run(search_all(out, arguments)),
    "report": report,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--out", type=Path, default=Path("runs/search-quality"))
    parser.add_argument("--training", type=int, default=1600, help="problems to make trees of and train on")
    parser.add_argument("--part", type=int, default=0, help="with --parts: which part of the problems to make trees of")
    parser.add_argument("--parts", type=int, default=1, help="processes that make trees side by side")
    parser.add_argument("--held-out", type=int, default=120, help="problems to make trees of and measure the PPM on")
    parser.add_argument("--objectives", nargs="*", choices=OBJECTIVES, default=OBJECTIVES, help="PPMs to train")
    parser.add_argument("--epochs", type=float, default=6.0, help="of the PPM that is trained on pairs")
    parser.add_argument("--problems", type=int, default=300, help="test problems")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=1000, help="generated tokens a problem")
    parser.add_argument("--only", nargs="*", default=None, help="strategies to search with; all if not given")
    parser.add_argument("--ppms", nargs="*", choices=OBJECTIVES, default=OBJECTIVES, help="PPMs to search with")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--picture", default="docs/pictures/search_quality.png")
    arguments = parser.parse_args()
    searches = dict.fromkeys(method[:2] for method in METHODS.values())
    arguments.searches = [
        (strategy, ppm)
        for strategy, ppm in searches
        if (arguments.only is None or strategy in arguments.only) and ppm in ("", *arguments.ppms)
    ]
    STAGES[arguments.stage](arguments.out, arguments)


if __name__ == "__main__":
    main()
