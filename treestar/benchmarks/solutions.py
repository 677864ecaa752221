"""Solutions whose wrong steps are known: ProcessBench and PRMBench, from JSON Lines files or the Hugging Face hub.

processbench_SUBSET.jsonl   `question` (on the hub `problem`), `steps`, and `label`: the index of the first wrong
                            step from 0, or -1
prmbench.jsonl              `modified_question`, `modified_process`, `classification`, and `error_steps`, from 1
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treestar.benchmarks.datasets import hub_rows
from treestar.benchmarks.first_error import NO_ERROR
from treestar.storage.lines import read_rows
from treestar.types import Execution, Problem, State, Step, TreestarError

__all__ = [
    "PRMBENCH_CLASSES",
    "PROCESSBENCH_SUBSETS",
    "Solution",
    "load_prmbench",
    "load_processbench",
    "spread",
    "states_of",
]

PROCESSBENCH_SUBSETS: Mapping[str, int] = {"gsm8k": 400, "math": 1000, "olympiadbench": 1000, "omnimath": 1000}
"""The subsets of ProcessBench and their numbers of solutions; on the hub each is a split."""

PROCESSBENCH_HUB, PRMBENCH_HUB, PRMBENCH_SPLIT = "Qwen/ProcessBench", "hitsmy/PRMBench_Preview", "train"

PRMBENCH_FILE = "prmbench.jsonl"

PRMBENCH_CLASSES: Mapping[str, str] = {
    "redundency": "NR",
    "circular": "NCL",
    "counterfactual": "ES",
    "step_contradiction": "SC",
    "domain_inconsistency": "DC",
    "confidence": "CI",
    "missing_condition": "PS",
    "deception": "DR",
    "multi_solutions": "MS",
}
"""The classes of errors as the data calls them, and the abbreviations of the paper (Song et al. 2025, table 2)."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution in steps, and what is wrong with it."""

    subset: str
    """The subset of ProcessBench, or the class of PRMBench."""
    number: int
    """Its place in the subset."""
    question: str
    steps: tuple[str, ...]
    wrong: tuple[int, ...]
    """The indices of the steps known to be wrong, from 0, in order. ProcessBench says only the first: steps after it
    were not labeled."""

    @property
    def label(self) -> int:
        """The index of the first wrong step, or NO_ERROR."""
        return self.wrong[0] if self.wrong else NO_ERROR


def load_processbench(data_dir: Path | None, subsets: Sequence[str]) -> list[Solution]:
    """The solutions of subsets of ProcessBench.

    Args:
        data_dir: a folder with the files; None loads them from the hub.

    Raises:
        TreestarError: there is no such subset, it cannot be loaded, or does not have its number of solutions.
    """
    found: list[Solution] = []
    for subset in subsets:
        if subset not in PROCESSBENCH_SUBSETS:
            raise TreestarError(
                f"ProcessBench has no subset {subset!r}: it has {', '.join(PROCESSBENCH_SUBSETS)}, separated by commas"
            )
        place = f"{PROCESSBENCH_HUB}, split {subset}"
        if data_dir is not None:
            place = str(data_dir / f"processbench_{subset}.jsonl")
            rows = file_rows(Path(place))
        else:
            rows = hub_rows(PROCESSBENCH_HUB, None, subset)
        own = [
            solution_of(
                subset, number, row.get("problem") or row.get("question"), row.get("steps"), error_at(row), place
            )
            for number, row in enumerate(rows)
        ]
        if len(own) != PROCESSBENCH_SUBSETS[subset]:
            raise TreestarError(
                f"{place} has {len(own):,} solutions, but this subset of ProcessBench has "
                f"{PROCESSBENCH_SUBSETS[subset]:,}: it is another version or only a part"
            )
        found += own
    return found


def load_prmbench(data_dir: Path | None, classes: Sequence[str]) -> list[Solution]:
    """The solutions of classes of PRMBench, class by class. Versions of the set differ in size, so any is accepted.

    Args:
        data_dir: a folder with the file; None loads the set from the hub.

    Raises:
        TreestarError: there is no such class, or the set cannot be loaded.
    """
    for name in classes:
        if name not in PRMBENCH_CLASSES:
            raise TreestarError(
                f"PRMBench has no class {name!r}: it has {', '.join(PRMBENCH_CLASSES)}, separated by commas"
            )
    place = PRMBENCH_HUB if data_dir is None else str(data_dir / PRMBENCH_FILE)
    rows = hub_rows(PRMBENCH_HUB, None, PRMBENCH_SPLIT) if data_dir is None else file_rows(Path(place))
    of_class: dict[str, list[Solution]] = {name: [] for name in classes}
    for row in rows:
        own = of_class.get(str(row.get("classification")))
        if own is not None:
            subset = str(row["classification"])
            wrong = [step - 1 for step in row.get("error_steps") or ()]
            question, steps = row.get("modified_question"), row.get("modified_process")
            own.append(solution_of(subset, len(own), question, steps, wrong, place))
    if missing := [name for name, own in of_class.items() if not own]:
        raise TreestarError(f"{place} has no solution of the class {missing[0]}: it is not the data of PRMBench")
    return [solution for own in of_class.values() for solution in own]


def file_rows(path: Path) -> Iterable[Mapping[str, Any]]:
    """The objects in a file of JSON Lines or of one array. Raises TreestarError."""
    for row in read_rows(path):
        try:
            value = json.loads(row.text)
        except ValueError as error:
            raise TreestarError(f"{path}, {row.where}: not JSON") from error
        if not isinstance(value, dict):
            raise TreestarError(f"{path}, {row.where}: not an object")
        yield value


def error_at(row: Mapping[str, Any]) -> list[int]:
    """The wrong step of a solution of ProcessBench; none if it is right."""
    label = row.get("label")
    return [] if label in (None, NO_ERROR) else [int(label)]


def solution_of(subset: str, number: int, question: Any, steps: Any, wrong: Sequence[int], place: str) -> Solution:
    """The solution in a row. Indices of steps that it does not have are left out, as the benchmark's own code does.

    Raises:
        TreestarError: it has no question or no steps.
    """
    if not isinstance(question, str) or not isinstance(steps, list) or not all(isinstance(each, str) for each in steps):
        raise TreestarError(f"{place}: solution {number} of {subset} has no text of a question, or no list of steps")
    known = tuple(sorted({step for step in wrong if 0 <= step < len(steps)}))
    return Solution(subset, number, question, tuple(steps), known)


def spread(solutions: Sequence[Solution], count: int | None) -> list[Solution]:
    """At most `count` solutions of each subset, evenly spaced through those with and then those without a wrong step,
    so that the shares of both stay; None for all."""
    if count is None:
        return list(solutions)
    of_subset: dict[str, list[Solution]] = {}
    for solution in solutions:
        of_subset.setdefault(solution.subset, []).append(solution)
    chosen: list[Solution] = []
    for own in of_subset.values():
        own.sort(key=lambda each: not each.wrong)
        taken = min(count, len(own))
        chosen += [own[(2 * place + 1) * len(own) // (2 * taken)] for place in range(taken)]
    return chosen


def states_of(solution: Solution) -> list[State]:
    """The state after each step, in order. Nothing is executed."""
    problem = Problem(solution.question, id=f"{solution.subset}-{solution.number}")
    steps = tuple(map(Step, solution.steps))
    return [State(problem, steps[:end], (Execution(),) * end) for end in range(1, len(steps) + 1)]
