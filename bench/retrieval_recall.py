"""Measure how many supporting paragraphs BM25 finds, step by step, if every sentence that is looked up is right.

    python bench/retrieval_recall.py --data ../shared/data/sets [--paragraphs 4]

The scripted teacher says the gold reasoning of hotpotqa, 2wikimultihopqa and musique. The recall is that of all
questions of a set, in the pooled setting (one corpus of the whole set) and in the distractor setting (only the
paragraphs of the question). That is about what a policy can find that states one right fact per step. Writes
bench/results/retrieval_recall.json.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any, get_args, get_type_hints

from treestar.benchmarks.datasets import ProblemSet, load_problems
from treestar.benchmarks.passages import passages_for
from treestar.benchmarks.samples import End, support_recall
from treestar.retrieval import RetrievalConfig
from treestar.search import Components, GreedyConfig, search_one
from treestar.storage.record import write_record
from treestar.training.distill.teacher import ScriptedTeacher
from treestar.verifier.grading.questions import QuestionVerifier

SETS = ("hotpotqa", "2wikimultihopqa", "musique")
SETTINGS = get_args(get_type_hints(RetrievalConfig)["setting"])
STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--paragraphs", type=int, default=4)
    options = parser.parse_args()
    figures: dict[str, Any] = {"paragraphs": options.paragraphs, "sets": {}}
    for name in SETS:
        found = load_problems(name, options.data)
        for setting in SETTINGS:
            config = RetrievalConfig(setting=setting, paragraphs=options.paragraphs)
            figures["sets"].setdefault(name, {})[setting] = asyncio.run(recall_by_step(found, config))
    command = "python bench/retrieval_recall.py --data SETS"
    write_record("bench/results/retrieval_recall.json", figures, seed=0, command=command)


async def recall_by_step(found: ProblemSet, config: RetrievalConfig) -> dict[str, Any]:
    """Mean recall in percent with the question alone, and after each step."""
    [kept], passages, left_out = passages_for([found], config)
    executor_of = passages.open()
    recalls = []
    for problem in kept.problems:
        parts = Components(ScriptedTeacher(), executor_of(kept.name, problem), QuestionVerifier())
        tree = (await search_one(problem, GreedyConfig(max_depth=STEPS), parts)).tree
        assert tree is not None
        recalls.append(support_recall(problem, End(tree.terminals()[0], tree)))
    means = [sum(each[min(step, len(each) - 1)] for each in recalls) / len(recalls) for step in range(STEPS + 1)]
    return {
        "questions": len(recalls),
        "left_out": left_out,
        "corpus": len(passages.pools.get(kept.name, ())) or None,
        "recall_by_step": [round(100 * mean, 1) for mean in means],
    }


if __name__ == "__main__":
    main()
