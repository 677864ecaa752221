"""Measure how often the answer of a whole reply is read, on replies that nobody wrote for this purpose.

    python bench/extraction.py --data SETS

- ProcessBench: replies of a dozen models; is the answer that is read right exactly where the set says so?
- MATH: 3,000 written solutions whose box is taken away, so that only the last sentences tell the answer. Many of them
  tell it nowhere else, so the errors are a measure to compare, not a share to bring to 0.
- The same with the second half of MATH's test set, whose solutions were not read while the rules were made.

Writes bench/results/extraction.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from treestar.storage.record import write_record
from treestar.verifier import equivalent
from treestar.verifier.extraction.replies import boxed_contents, extract_answer

RESULTS = Path(__file__).parent / "results"
GOLD = ("gsm8k_test", "math_test", "math_train12k", "math500", "olympiadbench", "omni_math")
"""The sets that have ProcessBench's questions with their answers."""
EXAMPLES = 20


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def processbench(data: Path, part: str, gold: dict[str, str]) -> dict[str, Any]:
    """Over the replies of a part: how often the verdict on the answer that is read differs from the set's."""
    counted = accepted = rejected = 0
    for row in rows_of(data / f"processbench_{part}.jsonl"):
        wanted = gold.get(row["question"].strip())
        if wanted is None:
            continue
        found = extract_answer("\n\n".join(row["steps"]), row["question"])
        right = found is not None and equivalent(found, wanted)
        counted += 1
        accepted += right and not row["final_answer_correct"]
        rejected += not right and row["final_answer_correct"]
    return {"replies": counted, "accepted_although_wrong": accepted, "rejected_although_right": rejected}


def without_boxes(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Over the solutions: how often another answer is read without the box than with it."""
    counted, examples = 0, []
    for row in rows:
        wanted = extract_answer(row["solution"])
        plain = row["solution"]
        for content in boxed_contents(plain):
            plain = plain.replace(f"\\boxed{{{content}}}", content)
        if wanted is None or "\\boxed" in plain:
            continue
        found = extract_answer(plain, row["question"])
        counted += 1
        if found is None or not equivalent(found, wanted):
            examples.append({"read": found, "gold": wanted, "end": plain[-120:]})
    return {"solutions": counted, "read_otherwise": len(examples), "examples": examples[:EXAMPLES]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the sets")
    data = parser.parse_args().data
    gold = {
        row["question"].strip(): str(row["answer"]).rpartition("####")[2].strip()
        for name in GOLD
        for row in rows_of(data / f"{name}.jsonl")
    }
    figures = {
        "processbench": {
            part: processbench(data, part, gold) for part in ("gsm8k", "math", "olympiadbench", "omnimath")
        },
        "math_without_boxes": without_boxes(rows_of(data / "math_train3k_solutions.jsonl")),
    }
    held_out = without_boxes(islice(rows_of(data / "math_test.jsonl"), 2500, None))
    figures["math_without_boxes_held_out"] = {name: held_out[name] for name in ("solutions", "read_otherwise")}
    write_record(RESULTS / "extraction.json", figures, seed=0, command="python bench/extraction.py --data SETS")


if __name__ == "__main__":
    main()
