"""Make the bootstrap policy from scratch with one command: data, tokenizer, training, evaluation, model card.

python -m recipes.toy.bootstrap --out DIR [--tokens N] [--seed S]
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

from recipes.toy.card import Run, figures, model_card
from recipes.toy.corpus import LEAPS_AFTER, Example, Share, build_examples, encode_examples, train_tokenizer
from recipes.toy.evaluation import BootstrapEvaluationConfig, CellResult, evaluate, unseen_texts
from recipes.toy.recipe import SHARES, TRAINING
from recipes.toy.training import ModelShape, Tokenized, TrainingConfig, TrainingLog, new_model, train
from treestar.benchmarks.gym import make_problems
from treestar.policy.formats.binding import NAME_COUNT
from treestar.storage.record import write_record

__all__ = ["document", "main", "save_policy", "train_bootstrap", "write_problems"]

LADDER = (
    ("chain_sum", "mid"),
    ("simple_geometry", "mid"),
    ("simple_geometry", "hard"),
    ("basic_arithmetic", "easy"),
    ("basic_arithmetic", "mid"),
    ("leg_counting", "mid"),
)
"""Cells that search improves on; the built-in problems include some of them."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    import argparse

    parser = argparse.ArgumentParser(description="Train the bootstrap policy from scratch.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument(
        "--tokens", type=int, default=TRAINING.tokens, help=f"number of training tokens (default: {TRAINING.tokens:,})"
    )
    parser.add_argument(
        "--seed", type=int, default=TRAINING.seed, help=f"of data and training (default: {TRAINING.seed})"
    )
    parser.add_argument("--early", type=Path, help="folder for a usable copy of the model, updated every few minutes")
    parser.add_argument("--record", type=Path, help="JSON file for the results, with machine and versions")
    parser.add_argument("--problems", type=Path, help="JSONL file for six test problems for a first try")
    options = parser.parse_args(arguments)
    if options.problems is not None:
        write_problems(options.problems, options.seed)
    config = replace(TRAINING, tokens=options.tokens, seed=options.seed)
    model, tokenizer, log = train_bootstrap(config, SHARES, early=options.early)
    save_policy(model, tokenizer, options.out)
    command = "python -m recipes.toy.bootstrap --out DIR"
    command += f" --tokens {options.tokens}" if options.tokens != TRAINING.tokens else ""
    command += f" --seed {options.seed}" if options.seed != TRAINING.seed else ""
    document(options.out, model, tokenizer, Run(config, log, SHARES), command, options.record)


def train_bootstrap(
    config: TrainingConfig,
    shares: Sequence[Share],
    shape: ModelShape | None = None,
    early: Path | None = None,
) -> tuple[Any, Any, TrainingLog]:
    """Build data and tokenizer, and train: returns the model, its tokenizer, and the log of the training.

    Args:
        early: a folder for a usable copy of the model, updated every two minutes.
    """
    began = time.monotonic()
    examples = build_examples(shares, config.seed)
    print(f"{len(examples)} problems taught, {time.monotonic() - began:.0f} s", flush=True)
    tokenizer = train_tokenizer(text for example in examples for text in (example.prompt, example.solution))
    model = new_model(shape or ModelShape(), len(tokenizer), tokenizer.eos_token_id, config.seed)
    cells = tokenized_cells(tokenizer, examples)
    lengths = [len(item.ids) for items in cells.values() for item in items]
    print(f"{count_parameters(model)} parameters, vocabulary {len(tokenizer)}", flush=True)
    print(f"tokens per example: mean {sum(lengths) / len(lengths):.0f}, longest {max(lengths)}", flush=True)
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
    leaps_after = tokenizer.convert_tokens_to_ids(list(LEAPS_AFTER))
    return model, tokenizer, train(model, cells, weights, first_name, NAME_COUNT, config, report, leaps_after)


def tokenized_cells(tokenizer: Any, examples: Sequence[Example]) -> dict[tuple[str, str], list[Tokenized]]:
    """The examples as token ids, by cell."""
    cells: dict[tuple[str, str], list[Tokenized]] = {}
    for example, (ids, prompt) in zip(examples, encode_examples(tokenizer, examples), strict=True):
        cells.setdefault(example.cell, []).append(Tokenized(ids, prompt, example.names))
    return cells


def save_policy(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write an ordinary Hugging Face folder in bf16; its config says which step format the model writes."""
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
    folder: Path, model: Any, tokenizer: Any, run: Run, command: str, record: Path | None = None
) -> list[CellResult]:
    """Evaluate the finished model, write its card into its folder and its results to `record`."""

    def report(result: CellResult) -> None:
        print(
            f"{result.family} {result.level}: greedy {result.greedy:.2f} sample {result.mean:.2f} "
            f"majority {result.majority:.2f} pass@{result.samples} {result.pass_at_n:.2f}",
            flush=True,
        )

    began = time.monotonic()
    results = evaluate(model, tokenizer, BootstrapEvaluationConfig(), report=report)
    taught = build_examples(run.shares, run.config.seed)
    unseen = unseen_texts(taught, BootstrapEvaluationConfig())
    parameters = count_parameters(model)
    card = model_card(parameters, len(tokenizer), ModelShape(), run, results, unseen, command)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if record is not None:
        evaluation = asdict(BootstrapEvaluationConfig()) | {"seconds": round(time.monotonic() - began, 1)}
        write_record(record, figures(parameters, run, results, unseen, evaluation), run.config.seed, command)
    return results


def count_parameters(model: Any) -> int:
    """The number of parameters; tied weights count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_problems(path: Path, seed: int) -> None:
    """Write six test problems for a first try: three from taught templates, three from the ladder, drawn by seed."""
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
