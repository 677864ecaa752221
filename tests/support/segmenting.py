"""For tests of segmentation: a policy that writes prose, and its solutions in chunks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy

from treestar.judge.config import SegmentationConfig
from treestar.judge.segment import CHUNKED, Segmented, Segmenter, by_rules, segment
from treestar.search import Components
from treestar.storage.table import Table
from treestar.types import Policy, Problem, State, Step

CONFIG = SegmentationConfig(responses=6, solutions=2, tries=3)

FIRST, SECOND = "We add 3 and 4 to find the number of pens.\n\n", "Next, nothing is taken away, so it stays at 7.\n\n"


def solving(state: State, n: int, seed: int) -> list[Step]:
    """Two paragraphs and an answer, right half of the time; in one of three solutions without a box."""
    rng = Random(seed)
    return [paragraph(state, rng) for _ in range(n)]


def paragraph(state: State, rng: Random) -> Step:
    texts = (FIRST + f"Attempt {rng.randrange(10)}.\n\n", SECOND)
    if len(state.steps) < len(texts):
        return Step(texts[len(state.steps)], tokens=10)
    answer = rng.choice(["7", "8"])
    boxed = f"\\boxed{{{answer}}}" if rng.random() < 2 / 3 else answer
    return Step(f"The answer is {boxed}.", ending="answer", answer=answer, tokens=5)


def sums(count: int) -> list[Problem]:
    return [Problem(f"3 + 4, number {number}?", "7", f"sum-{number}") for number in range(count)]


def segmented(folder: Path, segmenter: Segmenter = by_rules, count: int = 6, policy: Policy | None = None) -> Segmented:
    parts = Components(policy or ScriptedPolicy(solving), ScriptedExecutor(), ExactVerifier())
    names = {"policy": "solving", "segmenter": "rules"}
    return asyncio.run(segment(sums(count), lambda _: parts, segmenter, folder, CONFIG, names, concurrency=3))


def rows_in(folder: Path) -> list[dict]:
    with Table(folder / "chunked", CHUNKED) as table:
        return sorted(table.rows(), key=CHUNKED.key_of)
