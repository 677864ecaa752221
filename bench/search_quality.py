"""Measure what a PPM adds to each strategy, at the same number of generated tokens.

    python bench/search_quality.py trees  --out runs/quality     # search the training problems, with gold answers
    python bench/search_quality.py train  --out runs/quality     # a PPM by each objective, from the same trees
    python bench/search_quality.py search --out runs/quality     # every strategy and peer on the test problems
    python bench/search_quality.py report --out runs/quality     # figures, plots, a record in bench/results

Uses the toy's bootstrap policy on three cells of reasoning-gym. The former policy solved half of these problems; the
present one solves nearly all, so the record is from the former one. Training, held-out and test problems come from
disjoint splits. Other policies and problems, whose PPM is in OUT/ppm-pairs:

    python bench/search_quality.py search --out OUT --policy embedded --ppms pairs --files sets/svamp.jsonl ...

`search` writes one line per problem to searches.jsonl and resumes where it stopped. It records the answer that
each rule would choose whenever more tokens were generated, so one search also gives the accuracy at all smaller
budgets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from peers import PEERS
from search_quality_figures import METHODS, Line, Rows, by_problem, compare, curve, draw, method_figures, read_lines

from treestar import MCTSConfig, Problem, Solver
from treestar.benchmarks.datasets import read_jsonl
from treestar.benchmarks.gym import make_problems
from treestar.policy import load_policy
from treestar.ppm import load_scorer, ppm_from_policy, read_trees
from treestar.ppm.evaluation import evaluate
from treestar.sandbox import SandboxExecutor
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
from treestar.selfevolve.vetting import discard_misstatements
from treestar.storage.record import write_record
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.data import prepare
from treestar.training.ppm.objectives import Objective
from treestar.training.ppm.train import train_ppm
from treestar.types import State
from treestar.verifier import AnswerVerifier

POLICY = "toy-bootstrap"
CELLS = (("chain_sum", "mid"), ("basic_arithmetic", "mid"), ("leg_counting", "mid"))
OBJECTIVES: tuple[Objective, ...] = ("pairs", "orm", "q_regression")
ENOUGH = 10**6

CHUNK = 200
"""Number of problems after which their trees are saved."""

TEMPERATURE = 0.6
"""For every strategy and peer. On the cells' validation problems all strategies are better at 0.6 than at 1."""

SEARCHES: dict[str, Callable[..., SearchConfig]] = {
    "greedy": lambda **_: GreedyConfig(),
    "samples": partial(WeightedVoteConfig, samples=ENOUGH, in_flight=4),
    "beam": partial(BeamSearchConfig, children=2, beam_width=2),
    "dvts": partial(DVTSConfig, children=2, subtrees=2),
    "adaptive_branching": partial(AdaptiveBranchingConfig, max_rollouts=ENOUGH),
    "mcts": partial(
        MCTSConfig,
        max_rollouts=ENOUGH,
        children=4,
        distinct=True,
        min_share=0.1,
        rule="puct",
        exploration=1.0,
        widen_above=0.001,
    ),
}
"""treestar's strategies. `samples` serves majority, best of n and weighted vote, which differ only in the choice.
Sizes were chosen on validation problems: with the defaults of beam search and DVTS, 1000 tokens do not finish a round.
"""

CHOICES: tuple[Choice, ...] = ("weighted", "majority", "best")


def problems_of(split: Any, count: int, seed: int) -> list[Problem]:
    """`count` problems, equally many from each cell, shuffled."""
    found = [
        problem
        for family, level in CELLS
        for problem in make_problems(family, level, split, count // len(CELLS), seed=seed)
    ]
    random.Random(seed).shuffle(found)
    return found


def test_problems(arguments: argparse.Namespace) -> list[tuple[str, Problem]]:
    """The test problems, each with the name of its cell or file."""
    if arguments.files:
        return [(file.stem, problem) for file in arguments.files for problem in read_jsonl(file)]
    found = problems_of("test", arguments.problems, 303)
    return [(f"{problem.metadata['family']}/{problem.metadata['level']}", problem) for problem in found]


def make_trees(out: Path, arguments: argparse.Namespace) -> None:
    # Distinct candidates give about three times as many pairs for the same tokens.
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
        with Solver(POLICY, config, seed=seed) as solver:
            for first in range(0, len(missing), CHUNK):
                for result in solver.solve_many(missing[first : first + CHUNK]):
                    assert result.tree is not None
                    discard_misstatements(result.tree)
                    result.tree.save(folder / f"{result.problem.id}.json")
                    tokens += result.stats.generated_tokens
                solved, seconds = min(first + CHUNK, len(missing)), time.perf_counter() - started
                print(f"{name}: {solved} of {len(missing)}, {tokens / seconds:.0f} tokens/s", flush=True)


def train(out: Path, arguments: argparse.Namespace) -> None:
    """Train a PPM by each objective, on the same trees for the same number of steps: `--epochs` over the pairs."""
    trees = read_trees(out / "trees" / "train")
    found = list(trees)
    ppm = ppm_from_policy(POLICY, "float32")

    def config_of(objective: Objective, epochs: float) -> PPMTrainingConfig:
        return PPMTrainingConfig(
            objective=objective, epochs=epochs, learning_rate=1e-3, batch_tokens=3072, bf16=True, optimizer="muon"
        )

    steps = {each: len(prepare(found, ppm, config_of(each, 1)).batches) for each in ("pairs", *arguments.objectives)}
    for objective in arguments.objectives:
        folder = out / f"ppm-{objective}"
        if not (folder / "config.json").exists():
            epochs = round(arguments.epochs * steps["pairs"] / steps[objective], 2)
            report = train_ppm(
                found,
                POLICY,
                folder,
                config_of(objective, epochs),
                skipped=trees.skipped,
                on_progress=lambda each: print(each, flush=True) if each.pair_accuracy is not None else None,
            )
            print(objective, report["pair_accuracy"], f"{report['seconds']:.0f} s")


async def search_all(out: Path, arguments: argparse.Namespace) -> None:
    """Run the searches that are missing in searches.jsonl."""
    problems = test_problems(arguments)
    path = out / "searches.jsonl"
    done = {line.key for line in read_lines(path)}
    jobs = [
        (Line(strategy, ppm, seed, problem.id, cell), problem)
        for seed in range(arguments.seeds)
        for strategy, ppm in arguments.searches
        for cell, problem in problems
    ]
    missing = [job for job in jobs if job[0].key not in done]
    policy, executor, verifier = load_policy(arguments.policy), SandboxExecutor(), AnswerVerifier()
    scorers = {name: load_scorer(str(out / f"ppm-{name}")) for name in {line.ppm for line, _ in missing} - {""}}
    places = asyncio.Semaphore(arguments.concurrency)
    started, finished, tokens = time.perf_counter(), 0, 0

    async def run(line: Line, problem: Problem) -> None:
        nonlocal finished, tokens
        async with places:
            components = Components(policy, executor, verifier, scorers.get(line.ppm))
            await (search_with_peer if line.strategy in PEERS else search_own)(
                line, problem, components, arguments.tokens, arguments.temperature
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


async def search_own(line: Line, problem: Problem, components: Components, tokens: int, temperature: float) -> None:
    chosen: dict[str, list[tuple[int, str]]] = {choice: [] for choice in CHOICES}

    def note(search: Search[SearchConfig]) -> None:
        for choice in CHOICES:
            found = choose(search.groups, choice)
            answer = found[0].answer if found is not None else None
            before = chosen[choice][-1][1] if chosen[choice] else None
            if answer is not None and answer != before:
                chosen[choice].append((search.stats.generated_tokens, answer))

    config = SEARCHES[line.strategy](max_generated_tokens=tokens, temperature=temperature)
    result = await search_one(problem, config, components, line.seed, on_progress=note)
    for choice, changes in chosen.items():
        line.answers[choice] = [(at, await components.verifier.accepts(problem, answer)) for at, answer in changes]
    stats = result.stats
    line.generated_tokens, line.scored_tokens = stats.generated_tokens, stats.scored_tokens
    line.executions, line.nodes, line.stopped = stats.executions, stats.nodes, result.stopped


async def search_with_peer(
    line: Line, problem: Problem, components: Components, tokens: int, temperature: float
) -> None:
    result = await PEERS[line.strategy](problem, components, tokens, temperature, line.seed)
    line.answers["own"] = [(0, result.correct)]
    line.generated_tokens, line.scored_tokens = result.generated_tokens, result.scored_tokens
    line.executions = result.executions


def report(out: Path, arguments: argparse.Namespace) -> None:
    by_search: dict[tuple[str, str], Rows] = {}
    for line in read_lines(out / "searches.jsonl"):
        by_search.setdefault((line.strategy, line.ppm), {}).setdefault(line.problem, []).append(line)
    found = {name: by_search[method[:2]] for name, method in METHODS.items() if method[:2] in by_search}
    # Of the last answers, as for peers: a search ends a little after its budget, and says how many tokens it used.
    accuracy = {name: by_problem(rows, METHODS[name][2], ENOUGH) for name, rows in found.items()}
    trained = [name for name in OBJECTIVES if (out / f"ppm-{name}" / "config.json").exists()]
    has_trees = (out / "trees" / "held-out").exists()
    figures = {
        "policy": arguments.policy,
        "problems": len(test_problems(arguments)),
        "budget": arguments.tokens,
        "temperature": arguments.temperature,
        "methods": {name: method_figures(found[name], accuracy[name]) for name in found},
        **{
            f"{first} minus": {name: compare(accuracy[first], accuracy[name]) for name in found if name != first}
            for first in ("MCTS + PPM", "weighted vote")
        },
        "accuracy by tokens": {
            name: curve(found[name], METHODS[name][2], arguments.tokens) for name in found if METHODS[name][2] != "own"
        },
        "ppm": {name: ppm_figures(out, name) for name in trained if has_trees},
    }
    draw(figures, Path(arguments.picture))
    write_record(Path(__file__).parent / "results" / f"{arguments.record}.json", figures, 0)


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
    parser.add_argument("--training", type=int, default=1600, help="problems to search for training trees")
    parser.add_argument("--part", type=int, default=0, help="with --parts: which part of the problems to search")
    parser.add_argument("--parts", type=int, default=1, help="number of processes that make trees concurrently")
    parser.add_argument("--held-out", type=int, default=120, help="problems whose trees measure the PPM")
    parser.add_argument("--objectives", nargs="*", choices=OBJECTIVES, default=OBJECTIVES, help="PPMs to train")
    parser.add_argument("--epochs", type=float, default=6.0, help="epochs of the PPM that is trained on pairs")
    parser.add_argument("--problems", type=int, default=300, help="test problems")
    parser.add_argument("--policy", default=POLICY, help="to search with")
    parser.add_argument("--files", nargs="*", type=Path, default=(), help="test problems as JSON lines, not the cells")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=1000, help="generated tokens per problem")
    parser.add_argument("--only", nargs="*", default=None, help="strategies to search with; default: all")
    parser.add_argument("--ppms", nargs="*", choices=OBJECTIVES, default=OBJECTIVES, help="PPMs to search with")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--record", default="search_quality", help="name of the record in bench/results")
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
