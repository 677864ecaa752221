"""report.md: the results of a run for human readers, only from results.json."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from treestar.benchmarks.matrix import BenchmarkConfig, Cell, matrix
from treestar.benchmarks.results import level_order
from treestar.benchmarks.scoring import is_own_answer

__all__ = ["file_names", "in_percent", "percent", "render_report", "summary_lines", "table"]

Results = Mapping[str, Any]

LONGEST_NAME = 60
"""Letters of a data set's name in a file name, which file systems limit to 255 bytes."""


def render_report(results: Results, config: BenchmarkConfig, plots: Sequence[str]) -> str:
    """The report as Markdown.

    Args:
        results: the content of results.json.
        plots: paths of the plots, relative to the report's folder.
    """
    tasks = {cell.task: cell for cell in matrix(config)}
    names = file_names(config.datasets)
    parts = [
        f"# Benchmark of {results['model_name']}",
        f"Percent, means over problems with 95% bootstrap intervals; seeds: {config.seeds}. Tokens are those generated "
        "for one problem. Every figure is in results.json, every completion in samples.jsonl.",
    ]
    for dataset in config.datasets:
        own = {task: cell for task, cell in tasks.items() if cell.dataset == dataset}
        parts.append(f"## {dataset}\n\n{problems_sentence(results, next(iter(own)))}")
        parts += [accuracy_table(results, own), support_table(results, own)]
        if any(cell.method == "sampling" for cell in own.values()):
            parts += [at_k_table(results, own, config), calibration_table(results, own)]
        parts += [thinking_table(results, dataset), level_table(results, own), difference_table(results, own)]
        parts += [picture(path) for path in plots if shows(path, names[dataset])]
    parts += [picture(path) for path in plots if not any(shows(path, name) for name in names.values())]
    return "\n\n".join(part for part in parts if part) + "\n"


def problems_sentence(results: Results, task: str) -> str:
    counts = results["n-samples"][task]
    sentence = f"{counts['effective']:,} of {counts['original']:,} problems, digest {results['versions'][task]}."
    if counts["without_answer"]:
        sentence += f" {counts['without_answer']} were left out: the set has no gold answer for them."
    return sentence


def accuracy_table(results: Results, tasks: Collection[str]) -> str:
    """Each strategy's own answer, at its own cost."""
    further = {"of them rejected": "rejected_tokens", "by the judge": "judged_tokens"}
    shown = {
        name: key for name, key in further.items() if any(results["results"][task].get(f"{key},none") for task in tasks)
    }
    if results["config"]["model_args"].get("ppm") is not None:
        shown["read by the PPM"] = "scored_tokens"
    columns = {"tokens": "generated_tokens", **shown, "trajectories": "trajectories"}
    rows = []
    for task in tasks:
        found = results["results"][task]
        for chosen in own_filters(found):
            costs = [found.get(f"{name},{chosen}", found[f"{name},none"]) for name in columns.values()]
            rows.append(
                [
                    short_name(results, task, chosen),
                    percent(found, f"acc,{chosen}"),
                    *(
                        f"{cost:,.1f}" if name == "trajectories" else f"{cost:,.0f}"
                        for name, cost in zip(columns, costs, strict=True)
                    ),
                    f"{100 * found[f'exact_match,{chosen}']:.1f}",
                    f"{100 * found[f'f1,{chosen}']:.1f}",
                    *([f"{100 * found[f'contains,{chosen}']:.1f}"] if f"contains,{chosen}" in found else []),
                ]
            )
    contains = ["Acc (gold answer within)"] if rows and len(rows[0]) > len(columns) + 4 else []
    return table(["answer", "accuracy", *columns, "exact match", "token F1", *contains], rows)


def support_table(results: Results, tasks: Iterable[str]) -> str:
    """With retrieval: the share of supporting paragraphs found with the question (step 0) and after each step."""
    rows = []
    for task in tasks:
        found = results["results"][task]
        steps = [key for key in found if re.fullmatch(r"support_recall@\d+,none", key)]
        steps.sort(key=lambda key: int(key.partition("@")[2].removesuffix(",none")))
        if steps:
            rows.append([short_name(results, task, "none"), *(f"{100 * found[step]:.1f}" for step in steps)])
    longest = max(map(len, rows), default=1) - 1
    filled = [row + [""] * (longest + 1 - len(row)) for row in rows]
    return table(["supporting paragraphs found by", *(f"step {step}" for step in range(longest))], filled)


def at_k_table(results: Results, tasks: Mapping[str, Cell], config: BenchmarkConfig) -> str:
    """pass@k, consensus@k, best-of-k and weighted vote@k by temperature."""
    rows = []
    for task, cell in tasks.items():
        if cell.method != "sampling":
            continue
        found = results["results"][task]
        metrics = ["pass@{k},none", "acc,consensus@{k}", "tied,consensus@{k}"]
        metrics += [key.replace(f"@{config.k[0]}:", "@{k}:") for key in sorted(found) if scored_at(key, config.k[0])]
        for metric in metrics:
            name = metric.replace("@{k}", "@k").removesuffix(",none").removeprefix("acc,")
            values = [percent(found, metric.format(k=k)) for k in config.k]
            rows.append([f"{cell.temperature:g}", name.replace("tied,", "ties in "), *values])
    return table(["temperature", "", *(f"k = {k}" for k in config.k)], rows)


def scored_at(key: str, k: int) -> bool:
    return re.fullmatch(rf"acc,(best_of|weighted)@{k}:\w+", key) is not None


def thinking_table(results: Results, dataset: str) -> str:
    """Control, Scaling and Performance over the thinking budgets (s1, section 3.2)."""
    rows = []
    for each in results.get("thinking", ()):
        if each["answer"].startswith(f"{dataset}/"):
            curve = ", ".join(f"{point['budget']:,}: {100 * point['accuracy']:.1f}" for point in each["curve"])
            control = "" if each["control"] is None else f"{100 * each['control']:.0f}%"
            slope = "" if each["scaling"] is None else f"{each['scaling']:+.2f}"
            name = each["answer"].removeprefix(f"{dataset}/").removesuffix(",none")
            rows.append([name, control, slope, f"{100 * each['performance']:.1f}", curve])
    head = ["thinking budgets", "Control", "Scaling, points per 1000 tokens", "Performance", "accuracy by budget"]
    return table(head, rows)


def calibration_table(results: Results, tasks: Iterable[str]) -> str:
    rows = []
    for task in tasks:
        found = results["results"][task]
        for chosen in own_filters(found):
            if f"brier,{chosen}" in found:
                figures = [found[f"{name},{chosen}"] for name in ("confidence", "acc", "brier", "ece")]
                rows.append([short_name(results, task, chosen), *(f"{figure:.3f}" for figure in figures)])
    return table(["reported confidence of", "mean", "accuracy", "Brier score", "calibration error"], rows)


def level_table(results: Results, tasks: Iterable[str]) -> str:
    rows = []
    for task in tasks:
        if len(results["by_level"][task]) < 2:
            continue
        for level, found in results["by_level"][task].items():
            for chosen in own_filters(found):
                rows.append(
                    [level, str(found["n"]), short_name(results, task, chosen), percent(found, f"acc,{chosen}")]
                )
    return table(["level", "problems", "answer", "accuracy"], sorted(rows, key=lambda row: level_order(row[0])))


def difference_table(results: Results, tasks: Iterable[str]) -> str:
    """The gain of tree search over each other strategy; with a budget, at the same tokens on every problem."""
    rows = []
    for each in results["comparisons"]:
        if each["first"].rpartition(",")[0] in tasks:
            low, high = each["interval"]
            test = each.get("mcnemar")
            rows.append(
                [
                    " minus ".join(short_name(results, *each[side].rsplit(",", 1)) for side in ("first", "second")),
                    f"{100 * each['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
                    "" if test is None else f"{test['only_first']} : {test['only_second']}, p = {test['p_value']:.3g}",
                ]
            )
    return table(["paired difference", "points", "McNemar, first seed"], rows)


def summary_lines(results: Results) -> list[str]:
    """One line for each strategy's own answer: accuracy in percent with its interval, and tokens per problem."""
    return [
        f"{system_name(task, chosen)}: {percent(found, f'acc,{chosen}')}, "
        f"{found.get(f'generated_tokens,{chosen}', found['generated_tokens,none']):,.0f} tokens"
        for task, found in results["results"].items()
        for chosen in own_filters(found)
    ]


def own_filters(found: Results) -> list[str]:
    """The filters that give a strategy's own answer."""
    return [key.removeprefix("acc,") for key in found if key.startswith("acc,") and is_own_answer(key)]


def system_name(task: str, chosen: str) -> str:
    return task if chosen == "none" else f"{task}, {chosen}"


def short_name(results: Results, task: str, chosen: str) -> str:
    """The name of an answer under the heading of its data set."""
    return system_name(task.removeprefix(f"{results['configs'][task]['dataset_name']}/"), chosen)


def percent(found: Results, key: str) -> str:
    """A metric in percent with its interval."""
    metric, _, chosen = key.partition(",")
    return in_percent(found[key], *found[f"{metric}_interval,{chosen}"])


def in_percent(value: float, low: float, high: float) -> str:
    """A figure with its interval."""
    return f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; "" without rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def file_names(datasets: Iterable[str]) -> dict[str, str]:
    """The name of each data set as the beginning of a file name; no two have the same."""
    found: dict[str, str] = {}
    for dataset in datasets:
        name = slug(dataset)
        numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
        found[dataset] = next(each for each in numbered if each not in found.values())
    return found


def slug(name: str) -> str:
    """`name` as part of a file name, its end if it is long."""
    return re.sub(r"[^\w.=-]+|_+", "-", name)[-LONGEST_NAME:].strip("-")


def shows(path: str, name: str) -> bool:
    """Whether a plot is of the data set with this file name."""
    return re.search(rf"(^|/){re.escape(name)}-(accuracy-by|pass-at)-", path) is not None


def picture(path: str) -> str:
    return f"![{path}]({path})"
