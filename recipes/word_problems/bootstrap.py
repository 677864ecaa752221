"""Fine-tune SmolLM2-135M-Instruct to solve word problems in the `rstar` format, without a teacher model.

    treestar models fetch smollm2-135m
    python -m recipes.word_problems.bootstrap --data FOLDER --out DIR

FOLDER holds the training and test sets as JSON lines (gsm8k_train.jsonl, svamp_train.jsonl, ...; the test sets are only
compared with). Writes DIR/policy, DIR/searched (the held-out questions by source, for `treestar evolve`), and
DIR/corpus.json (what was taught and what was left out). The same command continues after an interruption.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from recipes.word_problems.corpus import Corpus, Mixture, build_corpus, write_held_out
from recipes.word_problems.matrices import matrices_trainer
from recipes.word_problems.program import trajectory_of
from treestar.training.base_policy import load_base
from treestar.training.run import TrainingProgress, check_training
from treestar.training.sft.config import SFTTrainingConfig
from treestar.training.sft.data import NO_LOSS, SFTRow, TokenRow, prepare
from treestar.training.sft.train import longest_row, train_on

__all__ = ["BASE", "main", "rows_of", "training_config", "with_few_answers"]

BASE = "smollm2-135m"

BUCKET = 32
"""Rows are padded to a multiple of this many tokens: a layer is compiled once for each length."""

ANSWERS_SHARE = 4
"""One row in this many teaches the answer after the program."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fine-tune SmolLM2-135M-Instruct on word problems.")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the training and test sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default=BASE, help="the model to fine-tune, such as an earlier stage's policy")
    parser.add_argument("--templates", type=int, default=Mixture.templates)
    parser.add_argument("--svamp-variations", type=int, default=Mixture.svamp_variations)
    parser.add_argument("--gsm8k-variations", type=int, default=Mixture.gsm8k_variations)
    parser.add_argument(
        "--gsm8k-lines", type=int, default=Mixture.gsm8k_lines, help="only solutions of at most this many lines"
    )
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=16, help="rows in a forward pass")
    parser.add_argument("--accumulation", type=int, default=2, help="forward passes per step")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    adapters = parser.add_mutually_exclusive_group()
    adapters.add_argument(
        "--adapter", type=Path, help="train this adapter of the base further, instead of the matrices"
    )
    adapters.add_argument("--rank", type=int, help="train a new adapter of this rank, instead of the matrices")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other templates, numbers and people")
    options = parser.parse_args(arguments)
    mixture = Mixture(
        templates=options.templates,
        svamp_variations=options.svamp_variations,
        gsm8k_variations=options.gsm8k_variations,
        gsm8k_lines=options.gsm8k_lines,
    )
    corpus = build_corpus(options.data, mixture, options.seed)
    print(json.dumps(corpus.counts), flush=True)
    write_held_out(corpus.searched, options.out / "searched")
    (options.out / "corpus.json").write_text(json.dumps(corpus.counts, indent=2) + "\n", encoding="utf-8")
    config = training_config(
        options.epochs,
        options.batch_size,
        options.accumulation,
        options.learning_rate,
        options.seed,
    )
    started = time.monotonic()

    def report(progress: TrainingProgress) -> None:
        if progress.loss is not None:
            seconds = time.monotonic() - started
            print(f"step {progress.step} of {progress.steps}, {seconds:.0f} s, loss {progress.loss:.4f}", flush=True)

    out = options.out / "policy"
    check_training(out, resume=True)
    base = load_base(options.base, config.step_format)
    data = prepare(rows_of(corpus), base.tokenizer, base.step_format, longest_row(base, config))
    data = replace(data, rows=with_few_answers(data.rows))
    making = partial(matrices_trainer, adapter=options.adapter or options.rank)
    train_on(data, base, out, config, lambda found: print(found, flush=True), report, making=making)


def training_config(
    epochs: float, batch_size: int, accumulation: int, learning_rate: float, seed: int
) -> SFTTrainingConfig:
    """All of the layers' matrices in bfloat16, which recent CPUs multiply eight times as fast as float32."""
    return SFTTrainingConfig(
        step_format="rstar",
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        learning_rate=learning_rate,
        save_steps=50,
        seed=seed,
        training_arguments={
            "model_init_kwargs": {"dtype": "bfloat16", "attn_implementation": "eager"},
            "pad_to_multiple_of": BUCKET,
            "dataloader_drop_last": True,
        },
    )


def rows_of(corpus: Corpus) -> list[SFTRow]:
    """The trajectory of every taught question."""
    found = [(problem.id, trajectory_of(problem)) for problem in corpus.taught]
    return [SFTRow(name, trajectory) for name, trajectory in found if trajectory is not None]


def with_few_answers(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """The rows, all but one in ANSWERS_SHARE cut after the program.

    What follows a program is the same in every row, its output and a sentence that repeats it, and is a third of a
    simple row's tokens.
    """
    return [row if index % ANSWERS_SHARE == 0 else without_answer(row) for index, row in enumerate(rows)]


def without_answer(row: TokenRow) -> TokenRow:
    """The row up to the end of what the policy writes before its last passage; the whole row if it has only one."""
    learned = [label != NO_LOSS for label in row.labels]
    ends = [index + 1 for index in range(len(learned) - 1) if learned[index] and not learned[index + 1]]
    return TokenRow(row.ids[: ends[-1]], row.labels[: ends[-1]]) if ends else row


if __name__ == "__main__":
    main()
