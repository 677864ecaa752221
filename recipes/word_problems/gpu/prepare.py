"""What a GPU is to be kept busy with, prepared on a CPU: rows of tokens to teach, and questions.

    python -m recipes.word_problems.gpu.prepare --data FOLDER --out FOLDER

Writes `taught.npz` (tokens, and which are learned), and the questions with their answers: `rewarded.jsonl` (taught
ones, and those of GSM8K whose solutions give no program), `searched.jsonl` (held out, for the PPM's trees) and
`measured.jsonl` (test sets and everyday questions, which nothing is trained on).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from recipes.word_problems.bootstrap import BASE, rows_of, with_few_answers
from recipes.word_problems.corpus import (
    EVERYDAY,
    SEARCHED_LEVELS,
    Mixture,
    build_corpus,
    is_held_out,
    row_of,
    test_questions,
)
from recipes.word_problems.corpus import rows_of as lines_of
from recipes.word_problems.gpu.batches import LENGTHS
from recipes.word_problems.overlap import Overlaps
from recipes.word_problems.templates import template_questions
from treestar.policy.formats import step_format_named
from treestar.policy.models import load_tokenizer, policy_path
from treestar.training.sft.data import NO_LOSS, TokenRow, prepare

__all__ = ["main", "measured_questions"]

ASKED = Path(__file__).parents[1] / "asked"

REWARDED = 2 * 10**6
"""Added to the seed of the templates to reward, so that they are neither the taught nor the searched ones."""

MIXTURE = Mixture(
    templates=90_000,
    svamp_variations=8,
    gsm8k_variations=14,
    gsm8k_lines=None,
    searched_templates=6_000,
)

Rows = list[dict[str, Any]]
"""Questions with `id`, `question`, `answer` and `source`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prepare the GPU's quarter of an hour.")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the training and test sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--templates", type=int, default=MIXTURE.templates)
    parser.add_argument("--rewarded-templates", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    corpus = build_corpus(options.data, replace(MIXTURE, templates=options.templates), options.seed)
    print(json.dumps(corpus.counts), flush=True)
    overlaps = Overlaps(test_questions(options.data))
    asked = asked_questions(overlaps)
    templates = template_questions(REWARDED + options.seed, options.rewarded_templates)
    training = [*map(row_of, templates), *training_questions(options.data)]
    rewarded = [row for row in training if row["question"] not in overlaps]
    rewarded += [row for row in asked if not is_held_out(row["id"])]
    Random(options.seed).shuffle(rewarded)
    write_questions(options.out / "rewarded.jsonl", rewarded)
    held_out = [row for row in asked if is_held_out(row["id"])]
    write_questions(options.out / "searched.jsonl", [*corpus.searched, *held_out])
    write_questions(options.out / "measured.jsonl", measured_questions(options.data))
    tokenizer, step_format = load_tokenizer(policy_path(BASE)), step_format_named("rstar")
    taught = with_few_answers(prepare(rows_of(corpus), tokenizer, step_format, LENGTHS[-1]).rows)
    write_rows(options.out / "taught.npz", taught)
    print(f"taught: {len(taught):,} rows, {sum(len(row.ids) for row in taught):,} tokens", flush=True)


def asked_questions(overlaps: Overlaps) -> Rows:
    """Those that were written for this recipe, without what overlaps a test question."""
    rows = [row for file in sorted(ASKED.glob("*.jsonl")) for row in lines_of(file)]
    return [{**row, "source": "asked"} for row in rows if row["question"] not in overlaps]


def training_questions(data: Path) -> Rows:
    """Those of GSM8K's and SVAMP's training sets that are not held out, also without a program."""
    return [
        {**row, "source": name}
        for name in ("gsm8k", "svamp")
        for row in lines_of(data / f"{name}_train.jsonl")
        if not is_held_out(row["id"])
    ]


def measured_questions(data: Path) -> Rows:
    """The test sets and the everyday questions, with the names of the sets as sources.

    Of ASDiv those with a number as the answer that are not in ASDiv-A, of MATH-500 the easy ones: the corpus leaves out
    what overlaps them.
    """
    sets: dict[str, Iterable[dict[str, Any]]] = {
        **{file.stem: lines_of(file) for file in EVERYDAY},
        "svamp": lines_of(data / "svamp.jsonl"),
        "gsm8k": lines_of(data / "gsm8k_test.jsonl"),
        "asdiv": [row for row in lines_of(data / "asdiv.jsonl") if row.get("numeric", True) and not row.get("asdiv_a")],
        "math12": [row for row in lines_of(data / "math500.jsonl") if str(row.get("level")) in SEARCHED_LEVELS],
        "gsm_hard": lines_of(data / "gsm_hard.jsonl"),
    }
    return [{**row, "answer": str(row["answer"]), "source": name} for name, rows in sets.items() for row in rows]


def write_questions(file: Path, rows: Rows) -> None:
    kept = [{name: row[name] for name in ("id", "question", "answer", "source")} for row in rows]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    print(file.stem, json.dumps(Counter(row["source"].partition("/")[0] for row in kept)), flush=True)


def write_rows(file: Path, rows: Sequence[TokenRow]) -> None:
    """All rows in one array of tokens, with the lengths and whether each token is learned."""
    ids = np.concatenate([np.array(row.ids, dtype=np.uint16) for row in rows])
    learned = np.concatenate([np.array(row.labels) != NO_LOSS for row in rows])
    lengths = np.array([len(row.ids) for row in rows], dtype=np.uint16)
    np.savez_compressed(file, ids=ids, learned=np.packbits(learned), lengths=lengths)


if __name__ == "__main__":
    main()
