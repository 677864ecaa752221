"""Stepwise distillation in a toy world: which steps to train on, and how to weigh them (StepER, tables 1 and 2).

    treestar models fetch smollm2-135m
    python bench/steper.py --out runs/steper [--seeds 1] [--train 200] [--test 120]

The student is SmolLM2-135M-Instruct with LoRA. The scripted teacher teaches it questions of 2 to 4 hops, once per
variant and seed. All students are asked questions about entities and chains of relations that no training question
used, over one corpus of 10,000 paragraphs. What a sentence says is judged by the world's own truth:

    initialization   the first sentence states the first hop
    expansion        a later sentence, but the last, states the next hop, given that those before were right
    aggregation      the answer is right, given that all hops before the last were right

Everything finished is kept in --out, so the same command continues. Writes bench/results/steper.json with what is done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from recipes.retrieval.world import make_world, questions
from treestar.policy import load_policy
from treestar.retrieval import BM25Retriever, RetrievalExecutor, Retriever
from treestar.retrieval.corpus import shown, supporting_paragraphs
from treestar.search import (
    Components,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    SearchConfig,
    SearchResult,
    search_many,
)
from treestar.statistics import bootstrap_intervals, paired_difference
from treestar.storage.files import read_json, write_json
from treestar.storage.record import write_record
from treestar.training.distill.collect import collect, read_trajectories
from treestar.training.distill.config import StepERTrainingConfig
from treestar.training.distill.teacher import ScriptedTeacher, gold_sentences
from treestar.training.distill.train import train_steper
from treestar.types import Problem
from treestar.verifier.grading.questions import (
    QuestionVerifier,
    answer_f1,
    best_over_golds,
    contains_answer,
    exactly_matches,
    gold_answers,
)

VARIANTS: Mapping[str, dict[str, str]] = {
    "vanilla-kd": {"steps": "final", "weighting": "uniform"},
    "first+final": {"steps": "first,final", "weighting": "uniform"},
    "first+mid": {"steps": "first,mid", "weighting": "uniform"},
    "all": {"steps": "first,mid,final", "weighting": "uniform"},
    "all, difficulty-aware": {"steps": "first,mid,final", "weighting": "difficulty_aware"},
    "all, 1.5-1-0.5": {"steps": "first,mid,final", "weighting": "fixed", "weights": "1.5,1,0.5"},
    "all, 0.5-1-1.5": {"steps": "first,mid,final", "weighting": "fixed", "weights": "0.5,1,1.5"},
}
ORDER = ("vanilla-kd", "all, difficulty-aware", "all", "first+final", "first+mid", "all, 1.5-1-0.5", "all, 0.5-1-1.5")
"""The order in which they are trained, so that an interrupted run has the most telling ones."""
STEPWISE_NAME, STEPWISE = "all, difficulty-aware", "all_difficulty-aware-0"
"""StepER itself, and the folder of the student that searches are compared with."""
PARAGRAPHS = 2
STEP_TOKENS = 48
GREEDY = GreedyConfig(max_step_tokens=STEP_TOKENS)
BASE = "smollm2-135m"
LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--test", type=int, default=120)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", help="variants, such as vanilla-kd; by default all")
    parser.add_argument("--record", default="steper.json", help="the file in bench/results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    world = make_world(options.entities)
    retriever = BM25Retriever(list(world.paragraphs.values()))
    trajectories = options.out / "trajectories"
    taught = questions(world, options.train, seed=1, held_out=False)
    found = asyncio.run(collect(taught, lambda _: parts(ScriptedTeacher(), retriever), trajectories))
    say(f"teacher: {found}")
    asked = questions(world, options.test, seed=2, held_out=True)
    measured(options.out / "base.json", lambda: evaluate(BASE, asked, retriever, GREEDY))
    for seed in range(options.seeds):
        for name in options.only or ORDER:
            student = make_student(name, seed, trajectories, options)
            measured(student / "measured.json", lambda path=student: evaluate(str(path), asked, retriever, GREEDY))
            write_figures(options)
    if (options.out / STEPWISE / "measured.json").exists():
        compare_searches(options, asked, retriever)
        write_figures(options)


def make_student(name: str, seed: int, trajectories: Path, options: argparse.Namespace) -> Path:
    folder: Path = options.out / f"{name.replace(', ', '_').replace('+', '_')}-{seed}"
    if not (folder / "config.json").exists():
        say(f"training {name}, seed {seed}")
        config = StepERTrainingConfig(
            epochs=options.epochs,
            batch_size=2,
            accumulation=2,
            learning_rate=5e-4,
            bf16=True,
            lora=LORA,
            # On a CPU, torch's fused attention takes half as long again for such short rows.
            training_arguments={"model_init_kwargs": {"dtype": "bfloat16", "attn_implementation": "eager"}},
            save_steps=50,
            seed=seed,
            **VARIANTS[name],  # type: ignore[arg-type]
        )
        train_steper(read_trajectories(trajectories), BASE, folder, config, resume=True)
    return folder


def parts(policy: Any, retriever: Retriever) -> Components:
    return Components(policy, RetrievalExecutor(retriever, PARAGRAPHS), QuestionVerifier())


def evaluate(policy: str, asked: Sequence[Problem], retriever: Retriever, config: SearchConfig) -> dict[str, Any]:
    """Every figure of every question, as lists."""
    started = time.perf_counter()

    async def run() -> list[SearchResult]:
        loaded = load_policy(policy, "retrieval", max_batch=32, dtype="bfloat16")
        return await search_many(asked, config, parts(loaded, retriever), concurrency=32)

    results = asyncio.run(run())
    rows = [figures_of(result) for result in results]
    return {
        "seconds": round(time.perf_counter() - started, 1),
        **{name: [row[name] for row in rows] for name in rows[0]},
        "examples": [[step.text for step in result.trajectory] for result in results[:6]],
    }


def figures_of(result: SearchResult) -> dict[str, Any]:
    """The figures of one question; None where a skill was not asked for."""
    problem, golds = result.problem, gold_answers(result.problem)
    answer = result.answer
    gold = gold_sentences(problem)
    said = [step.text.strip() for step in best_path(result)]
    right = [place < len(said) and said[place].startswith(hop) for place, hop in enumerate(gold)]
    reached = next((place for place, each in enumerate(right) if not each), len(right))
    expansions = [right[place] for place in range(1, len(gold) - 1) if reached >= place]
    return {
        "em": best_over_golds(exactly_matches, answer, golds),
        "f1": best_over_golds(answer_f1, answer, golds),
        "acc": best_over_golds(contains_answer, answer, golds),
        "hops": problem.metadata["hops"],
        "initialization": float(right[0]),
        "expansion": sum(expansions) / len(expansions) if expansions else None,
        "aggregation": best_over_golds(exactly_matches, answer, golds) if reached >= len(gold) - 1 else None,
        "support": support(result),
        "tokens": result.stats.generated_tokens,
        "answered": float(answer is not None),
    }


def best_path(result: SearchResult) -> list[Any]:
    """The chosen trajectory, or where there is none, the longest path."""
    if result.trajectory:
        return list(result.trajectory)
    assert result.tree is not None
    deepest = max(result.tree.nodes, key=lambda node: node.depth)
    return [node.step for node in deepest.path()]


def support(result: SearchResult) -> float:
    """Share of the supporting paragraphs that some path has found."""
    assert result.tree is not None
    found = "\n\n".join(node.execution.output for node in result.tree.nodes)
    wanted = supporting_paragraphs(result.problem)
    return sum(shown(each) in found for each in wanted) / len(wanted)


def compare_searches(options: argparse.Namespace, asked: Sequence[Problem], retriever: Retriever) -> None:
    """Search over retrieval steps against independent passes that may use as many tokens."""
    student = options.out / STEPWISE
    greedy = read_json(student / "measured.json")
    budget = round(4 * sum(greedy["tokens"]) / len(greedy["tokens"]))
    searches: dict[str, SearchConfig] = {
        "majority": MajorityConfig(
            samples=16, in_flight=4, temperature=0.7, max_step_tokens=STEP_TOKENS, max_generated_tokens=budget
        ),
        "mcts": MCTSConfig(
            max_rollouts=16, children=3, temperature=0.7, max_step_tokens=STEP_TOKENS, max_generated_tokens=budget
        ),
    }
    for name, config in searches.items():
        measured(
            options.out / f"search-{name}.json",
            lambda each=config: {"budget": budget, **evaluate(str(student), asked, retriever, each)},
        )


def measured(path: Path, measure: Any) -> dict[str, Any]:
    """What is stored in `path`, or measured and stored there now."""
    if not path.exists():
        write_json(path, measure())
        say(f"{path.parent.name}/{path.stem}: {json.dumps(summary([read_json(path)]))}")
    found: dict[str, Any] = read_json(path)
    return found


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means in percent with 95% bootstrap intervals over the questions of all seeds."""
    found: dict[str, Any] = {"seeds": len(runs), "questions": len(runs[0]["em"])}
    for name in ("em", "f1", "acc", "initialization", "expansion", "aggregation", "support", "answered"):
        values = [value for run in runs for value in run[name] if value is not None]
        if values:
            [[low, high]] = bootstrap_intervals(torch.tensor(values)[:, None].double().numpy(), 0)
            found[name] = [round(100 * each, 1) for each in (sum(values) / len(values), float(low), float(high))]
    found["tokens"] = round(mean(value for run in runs for value in run["tokens"]), 1)
    return found


def percents(compared: Mapping[str, Any]) -> list[float]:
    """A paired difference with its interval, in percent."""
    return [round(100 * each, 1) for each in (compared["difference"], *compared["interval"])]


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


def write_figures(options: argparse.Namespace) -> None:
    figures: dict[str, Any] = {"columns": "mean, low and high end of a 95% interval, in percent", "variants": {}}
    matches: dict[str, list[float]] = {}
    for name in VARIANTS:
        folder = name.replace(", ", "_").replace("+", "_")
        files = [options.out / f"{folder}-{seed}" / "measured.json" for seed in range(options.seeds)]
        runs = [read_json(file) for file in files if file.exists()]
        if runs:
            figures["variants"][name] = summary(runs)
            matches[name] = [value for run in runs for value in run["em"]]
    figures["em_of_stepwise_minus"] = {
        name: percents(paired_difference(matches[STEPWISE_NAME], each))
        for name, each in matches.items()
        if len(each) == len(matches.get(STEPWISE_NAME, [])) and name != STEPWISE_NAME
    }
    searches = {file.stem: read_json(file) for file in sorted(options.out.glob("search-*.json"))}
    figures["searches"] = {name: {"budget": run["budget"], **summary([run])} for name, run in searches.items()}
    figures["base"] = summary([read_json(options.out / "base.json")])
    sigmas = options.out / STEPWISE / "training.json"
    if sigmas.exists():
        figures["last_sigmas"] = {kind: values[-1][1] for kind, values in read_json(sigmas)["sigmas"].items()}
    settings = {name: getattr(options, name) for name in ("train", "test", "epochs", "entities")}
    figures["settings"] = {"base": BASE, "lora": LORA, **settings}
    words = ["FOLDER" if Path(word) == options.out else word for word in sys.argv[1:]]
    write_record(
        Path("bench/results") / options.record,
        figures,
        seed=0,
        command=shlex.join(["python", "bench/steper.py", *words]),
    )


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
