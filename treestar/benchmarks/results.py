"""Computes results.json from samples.jsonl: every metric of a run. Nothing depends on time, machine or order.

The layout and the field names are lm-evaluation-harness's: `results[task]["metric,filter"]` with
`"metric_stderr,filter"`, `configs`, `versions`, `n-shot`, `n-samples`, `higher_is_better`. treestar adds
`"metric_interval,filter"` (95% bootstrap over problems), `"acc_by_seed,filter"`, `by_level` and `comparisons`.
A task is a cell without its seed; `scoring` describes the filters.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from treestar.benchmarks.matrix import SAMPLING_STRATEGIES, BenchmarkConfig, Cell, matrix
from treestar.benchmarks.samples import iter_rows, tokens_of_searches
from treestar.benchmarks.scoring import Metrics, problem_metrics
from treestar.benchmarks.thinking import thinking_summaries
from treestar.statistics import (
    RESAMPLES,
    Values,
    binomial_interval,
    bootstrap_intervals,
    expected_calibration_error,
    mcnemar,
    paired_difference,
    standard_error,
)

__all__ = ["TaskValues", "compare_values", "compute_results", "level_order", "level_summary", "read_values", "summary"]

DIGITS = 6
BOOTSTRAP_SEED = 0
LOWER_IS_BETTER = {
    "brier",
    "ece",
    "executions",
    "generated_tokens",
    "judged_tokens",
    "prompt_tokens",
    "rejected_tokens",
    "scored_tokens",
    "spent_tokens",
    "thinking_tokens",
    "tied",
}

SHARES_OF_PROBLEMS = ("acc", "pass@", "exact_match", "f1", "contains")
"""How the names of the metrics begin that are 0 if no problem is right, and 1 if all are."""

TaskValues = dict[tuple[int, int], Metrics]
"""(doc_id, seed) -> the metrics of that problem with that seed."""


def compute_results(samples: Path, settings: Mapping[str, Any], config: BenchmarkConfig) -> dict[str, Any]:
    """The content of results.json.

    Args:
        samples: the samples.jsonl of the run, with every cell finished.
        settings: the content of its config.json.

    Raises:
        TreestarError: `samples` cannot be read.
    """
    values, levels = read_values(samples, config)
    tasks = {cell.task: cell for cell in matrix(config)}
    sets, model = settings["sets"], settings["model"]
    counted = ("original", "effective", "without_answer")
    found = {task: {"alias": task, **summary(values[task])} for task in tasks}
    return {
        "results": found,
        **({"thinking": thinking_summaries(found, tasks)} if config.thinking_budgets else {}),
        "by_level": {task: level_summary(values[task], levels[cell.dataset]) for task, cell in tasks.items()},
        "comparisons": budget_comparisons(values, tasks, config),
        "configs": {task: task_config(cell, config) for task, cell in tasks.items()},
        "versions": {task: sets[cell.dataset]["digest"] for task, cell in tasks.items()},
        "n-shot": dict.fromkeys(tasks, model["num_fewshot"]),
        "n-samples": {task: {name: sets[cell.dataset][name] for name in counted} for task, cell in tasks.items()},
        "higher_is_better": {task: directions(values[task]) for task in tasks},
        "config": {
            "model": model["name"],
            "model_args": {name: value for name, value in model.items() if name != "name"},
            "limit": config.limit,
            "seeds": config.seeds,
            "bootstrap_iters": RESAMPLES,
            "random_seed": BOOTSTRAP_SEED,
        },
        "model_name": model["name"],
    }


def read_values(samples: Path, config: BenchmarkConfig) -> tuple[dict[str, TaskValues], dict[str, dict[int, str]]]:
    """The metrics of every problem by task, and the level of every problem by data set. Raises TreestarError."""
    cells = {cell.key: cell for cell in matrix(config)}
    spent = tokens_of_searches(samples, cells)
    values: dict[str, TaskValues] = {cell.task: {} for cell in cells.values()}
    levels: dict[str, dict[int, str]] = {cell.dataset: {} for cell in cells.values()}
    for row in iter_rows(samples):
        cell, doc_id = cells[row["cell"]], row["doc_id"]
        spent_here = spent.get((cell.dataset, cell.temperature, cell.seed, doc_id), {})
        values[cell.task][doc_id, cell.seed] = problem_metrics(row, cell, config, spent_here)
        levels[cell.dataset][doc_id] = level_of(row["doc"])
    return values, levels


def level_of(doc: Mapping[str, Any]) -> str:
    """The difficulty of a problem, as named by its data set; "" if it has none."""
    parts = [str(doc[name]) for name in ("family", "level") if doc.get(name) not in (None, "")]
    return " ".join(parts) if "level" in doc else ""


# --- means over problems ---------------------------------------------------------------------------------------------


def summary(values: TaskValues) -> dict[str, Any]:
    """Mean, standard error and interval of every metric of a task; each problem is averaged over its seeds first.

    Two metrics are known for some problems only, and are those of these: the recall of supporting paragraphs, and the
    length of thoughts, which is unknown where a tree search found no answer.
    """
    names = sorted(set().union(*values.values()))
    docs, seeds = sorted({doc for doc, _ in values}), sorted({seed for _, seed in values})
    table = np.array([[[values[doc, seed].get(name, np.nan) for name in names] for seed in seeds] for doc in docs])
    by_doc = means_of_known(table)
    intervals = bootstrap_intervals(by_doc, BOOTSTRAP_SEED)
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        metric, _, chosen = name.partition(",")
        if metric == "confidence":
            right = table[:, :, names.index(f"acc,{chosen}")]
            found[f"ece,{chosen}"] = rounded(expected_calibration_error(table[:, :, place].ravel(), right.ravel()))
        known = by_doc[~np.isnan(by_doc[:, place]), place]
        interval = interval_of_all_or_none(known, metric) or intervals[place]
        if len(known) < len(docs):
            [interval] = bootstrap_intervals(known[:, None], BOOTSTRAP_SEED)
        found[name] = rounded(known.mean())
        found[f"{metric}_stderr,{chosen}"] = rounded(standard_error(known))
        found[f"{metric}_interval,{chosen}"] = [rounded(end) for end in interval]
        if metric == "acc" and len(seeds) > 1:
            found[f"acc_by_seed,{chosen}"] = [rounded(mean) for mean in table[:, :, place].mean(axis=0)]
    return found


def means_of_known(table: Values) -> Values:
    """The means over the seeds, shape (problems, metrics), of a table of the shape (problems, seeds, metrics): of the
    seeds in which a value is known, NaN where it is known in none."""
    known = (~np.isnan(table)).sum(axis=1)
    means: Values = np.where(known > 0, np.nansum(table, axis=1) / np.maximum(known, 1), np.nan)
    return means


def interval_of_all_or_none(values: Values, metric: str) -> tuple[float, float] | None:
    """Wilson's interval of a share of problems that is 0 or 1, where every resample is alike; None elsewhere."""
    total = float(values.sum())
    is_share = metric.startswith(SHARES_OF_PROBLEMS)
    return binomial_interval(round(total), len(values)) if is_share and total in (0.0, len(values)) else None


def level_summary(values: TaskValues, levels: Mapping[int, str]) -> dict[str, Any]:
    """Accuracy by level of a data set, for the filters that give a strategy's own answer."""
    by_level: dict[str, TaskValues] = defaultdict(dict)
    for (doc, seed), metrics in values.items():
        if levels[doc]:
            kept = {name: value for name, value in metrics.items() if name.startswith("acc,") and "@" not in name}
            by_level[levels[doc]][doc, seed] = kept
    in_order = sorted(by_level.items(), key=lambda item: level_order(item[0]))
    return {level: {"n": len({doc for doc, _ in part}), **summary(part)} for level, part in in_order}


def level_order(level: str) -> list[str | float]:
    """By which levels are sorted: numbers in their names count as numbers, so that 10 comes after 9."""
    return [float(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", level))]


def directions(values: TaskValues) -> dict[str, bool]:
    metrics = {name.partition(",")[0] for name in set().union(*values.values())}
    return {metric: metric not in LOWER_IS_BETTER for metric in sorted(metrics)}


def task_config(cell: Cell, config: BenchmarkConfig) -> dict[str, Any]:
    search = cell.config.to_json()
    temperature = search.get("temperature", 0.0)
    limits = search["max_depth"], search["max_step_tokens"]
    return {
        "task": cell.task,
        "dataset_name": cell.dataset,
        "output_type": "generate_until",
        "repeats": search.get("samples") or 1,
        "generation_kwargs": {
            "do_sample": temperature > 0,
            "temperature": temperature,
            "top_p": search.get("top_p", 1.0),
            "max_gen_toks": None if None in limits else math.prod(limits),
        },
        "metadata": {"method": cell.method, "seeds": 1 if cell.method == "greedy" else config.seeds, "search": search},
    }


# --- differences -----------------------------------------------------------------------------------------------------


def compare_values(first: TaskValues, second: TaskValues, first_name: str, second_name: str) -> dict[str, Any]:
    """The paired difference first - second of two metrics (`metric,filter`) over the problems that both tasks have.

    The interval is a bootstrap over problems, averaged over the seeds of each side. McNemar's test uses one pair per
    problem, that of the first seed of each side, and requires that each value is right or wrong.
    """

    def by_doc(values: TaskValues, name: str) -> dict[int, list[float]]:
        found: dict[int, list[float]] = defaultdict(list)
        for (doc, _), metrics in sorted(values.items()):
            found[doc].append(metrics[name])
        return found

    ones, others = by_doc(first, first_name), by_doc(second, second_name)
    docs = sorted(ones.keys() & others.keys())
    difference = paired_difference(
        [float(np.mean(ones[doc])) for doc in docs], [float(np.mean(others[doc])) for doc in docs], BOOTSTRAP_SEED
    )
    result: dict[str, Any] = {
        "n": len(docs),
        "difference": rounded(difference["difference"]),
        "interval": [rounded(end) for end in difference["interval"]],
    }
    pairs = [(ones[doc][0], others[doc][0]) for doc in docs]
    if all(value in (0.0, 1.0) for pair in pairs for value in pair):
        test = mcnemar([one == 1.0 for one, _ in pairs], [other == 1.0 for _, other in pairs])
        result["mcnemar"] = {**test._asdict(), "p_value": rounded(test.p_value)}
    return result


def budget_comparisons(
    values: Mapping[str, TaskValues], tasks: Mapping[str, Cell], config: BenchmarkConfig
) -> list[dict[str, Any]]:
    """MCTS minus each other strategy at the same tokens, temperature and problems; without budgets, at its own cost."""
    found = []
    for task, cell in tasks.items():
        if cell.method != "mcts":
            continue
        suffix = "" if cell.budget is None else f"@mcts:{cell.budget}tokens"
        rivals = []
        for other, each in tasks.items():
            if (each.dataset, each.thinking) != (cell.dataset, cell.thinking) or (
                each.method != "greedy" and each.temperature != cell.temperature
            ):
                continue
            if each.method == "sampling":
                rivals += [(other, f"{name}{suffix}") for name in SAMPLING_STRATEGIES if name in config.strategies]
            elif each.method == "greedy" or (each.method != "mcts" and each.budget == cell.budget):
                rivals.append((other, "none"))
        for other, chosen in rivals:
            compared = compare_values(values[task], values[other], "acc,none", f"acc,{chosen}")
            found.append({"first": f"{task},none", "second": f"{other},{chosen}", **compared})
    return found


def rounded(value: float) -> float:
    return round(float(value), DIGITS)
