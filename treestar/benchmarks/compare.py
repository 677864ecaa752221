"""Paired comparison of two benchmark runs on the same problems."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from treestar.benchmarks.matrix import BenchmarkConfig, matrix
from treestar.benchmarks.results import TaskValues, compare_values, read_values
from treestar.benchmarks.runner import CONFIG, SAMPLES
from treestar.benchmarks.samples import iter_rows
from treestar.benchmarks.scoring import is_own_answer
from treestar.types import TreestarError

__all__ = ["compare_runs", "read_config"]

Answers = tuple[TaskValues, dict[int, str]]
"""The values of an answer, and the problems that were asked: their digests by index."""


def read_config(out: Path) -> tuple[BenchmarkConfig, dict[str, Any]]:
    """The configuration of the run in `out`, and the content of its config.json. Raises TreestarError."""
    try:
        settings: dict[str, Any] = json.loads((out / CONFIG).read_text(encoding="utf-8"))
        return BenchmarkConfig.from_json(settings["config"]), settings
    except OSError as error:
        raise TreestarError(f"{out} is not a benchmark run: {out / CONFIG}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TreestarError(f"{out} is not a benchmark run: {out / CONFIG} cannot be read ({error})") from error


def compare_runs(first: Path, second: Path, pair: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    """The paired differences first - second, over problems.

    Args:
        first: the folder of a run.
        second: the folder of another run, or the same.
        pair: the two answers to compare, each as `TASK` or `TASK,FILTER`; None for each strategy's own answer, if both
            runs have it.

    Returns:
        For each pair: the two names, n, difference, interval, and McNemar's test if all values are right or wrong.

    Raises:
        TreestarError: a folder is not a run or not finished, the runs have different problems, or an answer does not
            exist.
    """
    ones, others = accuracies(first), accuracies(second)
    pairs = [pair] if pair is not None else []
    if not pairs:
        pairs = [(name, name) for name in ones if name in others and is_own_answer(name.rpartition(",")[2])]
        if not pairs:
            raise TreestarError(
                f"{first} and {second} have no answers in common; choose two with --pair. The first has "
                f"{', '.join(ones)}; the second has {', '.join(others)}"
            )
    found = []
    for one, other in pairs:
        one_values, one_problems = named(ones, one, first)
        other_values, other_problems = named(others, other, second)
        if one_problems != other_problems:
            raise TreestarError(f"{one} of {first} and {other} of {second} do not have the same problems")
        compared = compare_values(one_values, other_values, "acc", "acc")
        found.append({"first": one, "second": other, **compared})
    return found


def named(answers: dict[str, Answers], name: str, out: Path) -> Answers:
    wanted = name if name in answers else f"{name},none"
    if wanted not in answers:
        raise TreestarError(f"{out} has no answer {name!r}; it has {', '.join(answers)}")
    return answers[wanted]


def accuracies(out: Path) -> dict[str, Answers]:
    """`TASK,FILTER` -> the accuracy of every problem and seed, and the problems."""
    config, settings = read_config(out)
    values, _ = read_values(out / SAMPLES, config)
    problems = asked_problems(out, config)
    found: dict[str, Answers] = {}
    cells = Counter(cell.task for cell in matrix(config))
    for task, rows in values.items():
        wanted = settings["sets"][dataset_of(task, settings)]["effective"] * cells[task]
        if len(rows) < wanted:
            raise TreestarError(
                f"{out} is not finished: {task} has {len(rows):,} of {wanted:,} problems, those that took less time; "
                "continue it with --resume"
            )
        names = [name for name in next(iter(rows.values())) if name.startswith("acc,")]
        for name in names:
            only = {place: {"acc": metrics[name]} for place, metrics in rows.items()}
            found[task + name.removeprefix("acc")] = (only, problems[dataset_of(task, settings)])
    return found


def asked_problems(out: Path, config: BenchmarkConfig) -> dict[str, dict[int, str]]:
    """The problems of each data set by their index, as digests. Unlike the digest of the whole set in config.json they
    do not depend on the set's name: the same file can have several."""
    dataset_of_cell = {cell.key: cell.dataset for cell in matrix(config)}
    found: dict[str, dict[int, str]] = {dataset: {} for dataset in config.datasets}
    for row in iter_rows(out / SAMPLES):
        found[dataset_of_cell[row["cell"]]][row["doc_id"]] = row["doc_hash"]
    return found


def dataset_of(task: str, settings: dict[str, Any]) -> str:
    names: list[str] = [name for name in settings["sets"] if task.startswith(f"{name}/")]
    return max(names, key=len)
