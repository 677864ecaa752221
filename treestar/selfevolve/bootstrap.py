"""Makes the embedded policy from nothing: data, tokenizer, training, evaluation, model card, with one command.

python -m treestar.selfevolve.bootstrap --out DIR [--minutes M] [--seed S]
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

from treestar.benchmarks.gym import make_problems
from treestar.policy.binding import NAME_COUNT
from treestar.selfevolve.card import model_card, result_facts, write_record
from treestar.selfevolve.corpus import Example, Share, build_examples, encode_examples, train_tokenizer
from treestar.selfevolve.evaluation import CellResult, EvaluationConfig, evaluate
from treestar.selfevolve.training import ModelShape, Tokenized, TrainingConfig, TrainingLog, new_model, train

__all__ = ["SHARES", "main", "save_policy", "train_policy", "write_problems"]

SHARES: tuple[Share, ...] = (
    Share("gsm_symbolic", "taught", 44.0, 43 * 300),
    Share("chain_sum", "easy", 6.0, 600),
    Share("chain_sum", "mid", 0.25, 120),
    Share("chain_sum", "hard", 0.12, 60),
    Share("gcd", "easy", 3.0, 200),
    Share("gcd", "mid", 0.2, 100),
    Share("lcm", "easy", 3.0, 200),
    Share("lcm", "mid", 0.2, 100),
    Share("products", "easy", 3.0, 200),
    Share("products", "mid", 0.2, 100),
    Share("count_primes", "easy", 2.0, 200),
    Share("simple_equations", "easy", 7.0, 1500),
    Share("simple_geometry", "easy", 6.0, 600),
    Share("simple_geometry", "mid", 0.3, 100),
    Share("simple_geometry", "hard", 0.15, 60),
    Share("basic_arithmetic", "easy", 12.0, 4000),
    Share("basic_arithmetic", "mid", 1.0, 400),
    Share("basic_arithmetic", "hard", 0.5, 200),
    Share("leg_counting", "easy", 9.0, 3000),
    Share("leg_counting", "mid", 0.45, 200),
    Share("leg_counting", "hard", 0.2, 100),
    Share("fraction_simplification", "easy", 2.0, 200),
)
"""What is taught: the easy levels, a part of the gsm_symbolic templates, and a thin tail of longer problems."""

LADDER = (
    ("chain_sum", "mid"),
    ("simple_geometry", "mid"),
    ("simple_geometry", "hard"),
    ("basic_arithmetic", "easy"),
    ("basic_arithmetic", "mid"),
    ("leg_counting", "mid"),
)
"""Cells that search can climb: the built-in problems show some of them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the embedded policy from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--minutes", type=float, default=TrainingConfig().minutes, help="training time (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--early", type=Path, help="folder that gets a usable copy of the model every few minutes")
    parser.add_argument("--record", type=Path, help="JSON file that gets the figures, with machine and versions")
    parser.add_argument("--problems", type=Path, help="JSONL file that gets six test problems for a first try")
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "treestar.selfevolve.bootstrap", "--out", "DIR"])
    if options.minutes != TrainingConfig().minutes:
        command += f" --minutes {options.minutes:g}"
    if options.seed:
        command += f" --seed {options.seed}"
    if options.problems is not None:
        write_problems(options.problems, options.seed)
    config = TrainingConfig(minutes=options.minutes, seed=options.seed)
    model, tokenizer, log = train_policy(config, options.early)
    save_policy(model, tokenizer, options.out)
    (options.out / "training.json").write_text(json.dumps(asdict(log)) + "\n")
    document(options.out, model, tokenizer, config, log, command, options.record)


def train_policy(
    config: TrainingConfig,
    early: Path | None = None,
    shares: Sequence[Share] = SHARES,
    shape: ModelShape | None = None,
) -> tuple[Any, Any, TrainingLog]:
    """Data, tokenizer and training; the model, its tokenizer, and what the training did.

    Args:
        early: a folder that gets a usable copy of the model every two minutes.
    """
    began = time.monotonic()
    examples = build_examples(shares, config.seed)
    print(f"{len(examples)} problems taught, {time.monotonic() - began:.0f} s", flush=True)
    tokenizer = train_tokenizer(text for example in examples for text in (example.prompt, example.solution))
    cells = tokenized_cells(tokenizer, examples)
    model = new_model(shape or ModelShape(), len(tokenizer), tokenizer.eos_token_id, config.seed)
    lengths = [len(item.ids) for items in cells.values() for item in items]
    print(f"{count_parameters(model)} parameters, vocabulary {len(tokenizer)}", flush=True)
    print(f"tokens an example: mean {sum(lengths) / len(lengths):.0f}, longest {max(lengths)}", flush=True)
    saved = 0.0

    def report(log: TrainingLog, model: Any) -> None:
        nonlocal saved
        step, seconds, loss = log.losses[-1]
        print(f"step {step} {seconds:.0f} s loss {loss:.4f} {log.tokens / seconds:.0f} tokens/s", flush=True)
        if early is not None and time.monotonic() - saved > 120:
            save_policy(model, tokenizer, early)
            saved = time.monotonic()

    weights = {(share.family, share.level): share.weight for share in shares}
    first_name = tokenizer.convert_tokens_to_ids("n0")
    return model, tokenizer, train(model, cells, weights, first_name, NAME_COUNT, config, report)


def tokenized_cells(tokenizer: Any, examples: Sequence[Example]) -> dict[tuple[str, str], list[Tokenized]]:
    """The examples as token ids, by cell."""
    cells: dict[tuple[str, str], list[Tokenized]] = {}
    for example, (ids, prompt) in zip(examples, encode_examples(tokenizer, examples), strict=True):
        cells.setdefault(example.cell, []).append(Tokenized(ids, prompt, example.names))
    return cells


def save_policy(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write an ordinary Hugging Face folder in bf16; its config says which step format the model speaks."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True, temperature=1.0
    )
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["treestar_format"] = "bound"
    path.write_text(json.dumps(config, indent=2) + "\n")


def document(
    folder: Path,
    model: Any,
    tokenizer: Any,
    config: TrainingConfig,
    log: TrainingLog,
    command: str,
    record: Path | None = None,
) -> list[CellResult]:
    """Measure the finished model, write its card into its folder and its figures to `record`."""

    def report(result: CellResult) -> None:
        print(
            f"{result.family} {result.level}: greedy {result.greedy:.2f} sample {result.mean:.2f} "
            f"majority {result.majority:.2f} pass@{result.samples} {result.pass_at_n:.2f}",
            flush=True,
        )

    results = evaluate(model, tokenizer, EvaluationConfig(), report=report)
    parameters = count_parameters(model)
    card = model_card(parameters, len(tokenizer), ModelShape(), config, log, SHARES, results, command)
    (folder / "README.md").write_text(card, encoding="utf-8")
    facts = {
        "date": date.today().isoformat(),
        "command": command,
        "seed": config.seed,
        "parameters": parameters,
        "training_steps": log.steps,
        "training_tokens": log.tokens,
        "training_seconds": round(log.seconds, 1),
        "tokens_per_second": round(log.tokens / log.seconds, 1),
        "losses": [[step, round(seconds, 1), round(loss, 4)] for step, seconds, loss in log.losses],
        "evaluation": asdict(EvaluationConfig()),
        "cells": result_facts(results),
    }
    if record is not None:
        write_record(record, facts)
    return results


def count_parameters(model: Any) -> int:
    """How many numbers the model has; tied weights count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_problems(path: Path, seed: int) -> None:
    """Six problems of the test split for a first try: three of taught templates, three of the ladder, drawn by seed."""
    random = Random(seed)
    pool = make_problems("gsm_symbolic", "taught", "test", 43, seed)
    chosen = random.sample(pool, 3)
    chosen += [
        random.choice(make_problems(family, level, "test", 20, seed)) for family, level in random.sample(LADDER, 3)
    ]
    with path.open("w", encoding="utf-8") as file:
        for problem in chosen:
            row = {"id": problem.id, "question": problem.question, "answer": problem.answer}
            row |= {key: problem.metadata[key] for key in ("family", "level")}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
