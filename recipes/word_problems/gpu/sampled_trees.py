"""The programs that `run.py ppm` sampled for held-out questions, as trees for `treestar train ppm`.

    python -m recipes.word_problems.gpu.sampled_trees OUT/searched.jsonl.gz --data DATA --out TREES.jsonl

DATA is the folder that `prepare.py` wrote. Trees without right and wrong answers give no pairs and are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from recipes.word_problems.corpus import rows_of
from recipes.word_problems.gpu.stored import read_samples
from recipes.word_problems.gpu.teach import Question
from recipes.word_problems.gpu.trees import tree_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make trees of sampled programs.")
    parser.add_argument("samples", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder that prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = rows_of(options.data / "searched.jsonl")
    questions = [Question(row["id"], row["question"], (), row["answer"], row["source"]) for row in rows]
    drawn = read_samples(options.samples, questions)
    trees = [tree_of(question.problem(), programs) for question, programs in drawn]
    kept = [tree for tree in trees if len({node.correct for node in tree.terminals()}) == 2]
    options.out.write_text("".join(json.dumps(tree.to_json()) + "\n" for tree in kept), encoding="utf-8")
    print(f"{len(trees):,} trees, {len(kept):,} of them with right and wrong answers")


if __name__ == "__main__":
    main()
