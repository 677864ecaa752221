"""The plots of a run, only from results.json: accuracy against tokens, pass@k by temperature, accuracy by level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from treestar.benchmarks.matrix import BenchmarkConfig, Cell, matrix
from treestar.benchmarks.report import file_names
from treestar.plotting import new_figure, save_png

__all__ = ["draw_plots", "draw_series"]

SIZE = (6.4, 4.4)
COLORS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb"),
    *("#000000", "#332288", "#999933"),
)
"""Paul Tol's bright scheme, which is safe for color-blind readers, black, and two colors of his muted scheme."""
HATCHES = ("", "///", "...")
"""For bars whose colors repeat."""
MARKERS = ("o", "s", "^", "D")
"""For curves whose colors repeat."""

Results = Mapping[str, Any]
Series = list[tuple[float, float, float, float]]
"""Points: x, mean, lower and upper end of the interval."""


def draw_plots(results: Results, config: BenchmarkConfig, folder: Path) -> list[Path]:
    """Draw every plot that the run has data for, as PNG into `folder`; returns the files.

    Raises:
        TreestarError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {cell.task: cell for cell in matrix(config)}
    names = file_names(config.datasets)
    files: list[Path] = []

    def save(name: str, draw: Callable[..., None], *of: Any, size: tuple[float, float] = SIZE) -> None:
        figure = new_figure(*size)
        draw(figure, *of)
        files.append(folder / f"{name}.png")
        save_png(figure, files[-1])

    for dataset in config.datasets:
        own = {task: cell for task, cell in tasks.items() if cell.dataset == dataset}
        thinking = [each for each in results.get("thinking", ()) if each["answer"].startswith(f"{dataset}/")]
        if thinking:
            save(f"{names[dataset]}-accuracy-by-thinking", draw_thinking, thinking, dataset)
        elif any(cell.method == "sampling" for cell in own.values()):
            for temperature in config.temperatures:
                name = f"{names[dataset]}-accuracy-by-tokens-t={temperature:g}"
                save(name, draw_accuracy_by_tokens, results, own, config, dataset, temperature)
            if len(config.k) > 1:
                save(f"{names[dataset]}-pass-at-k", draw_pass_at_k, results, own, config, dataset)
    for group, levels in accuracy_by_level(results, tasks).items():
        size = max(SIZE[0], 1.6 + 1.2 * len(levels)), SIZE[1] + 0.8
        save(f"{names.get(group, group)}-accuracy-by-level", draw_accuracy_by_level, levels, group, size=size)
    return files


def draw_accuracy_by_tokens(
    figure: Any, results: Results, tasks: Mapping[str, Cell], config: BenchmarkConfig, dataset: str, temperature: float
) -> None:
    """Every strategy at one temperature; sampling as a curve over k, a tree search as a point for each budget."""
    axes = figure.subplots()
    curves: dict[str, Series] = {}
    for task, cell in tasks.items():
        found = results["results"][task]
        if cell.method == "greedy":
            curves["greedy"] = [point(found, "acc,none", "generated_tokens,none")]
        elif cell.temperature != temperature:
            continue
        elif cell.method != "sampling":
            curves.setdefault(cell.method, []).append(point(found, "acc,none", "spent_tokens,none"))
        else:
            scored = any(key.endswith(":ppm") for key in found)
            scorer = "ppm" if scored else "log_probability"
            wanted = {"consensus@k": "acc,consensus@{k}", f"best of k by {scorer}": f"acc,best_of@{{k}}:{scorer}"}
            wanted |= {"weighted vote@k": "acc,weighted@{k}:ppm"} if scored else {}
            wanted["pass@k"] = "pass@{k},none"
            for label, key in wanted.items():
                costs = "spent_tokens,best_of@{k}:ppm" if ":ppm" in key else "generated_tokens,consensus@{k}"
                curves[label] = [point(found, key.format(k=k), costs.format(k=k)) for k in sorted(config.k)]
    for place, (label, series) in enumerate(curves.items()):
        draw_series(axes, sorted(series), label, place, dashed=label == "pass@k")
    axes.set_xscale("log")
    marks = [each[0] for each in curves["pass@k"]]
    axes.set_xticks(marks, [f"{mark:,.0f}" for mark in marks])
    axes.set_xticks([], minor=True)
    title = f"{dataset}, temperature {temperature:g}"
    axes.set(title=title, xlabel="generated tokens per problem, a judge's included", ylabel="accuracy")
    finish(axes)


def draw_thinking(figure: Any, summaries: list[dict[str, Any]], dataset: str) -> None:
    """Accuracy by thinking budget, a curve for each kind of answer."""
    axes = figure.subplots()
    for place, each in enumerate(summaries):
        series = [(float(at["budget"]), at["accuracy"], *at["interval"]) for at in each["curve"]]
        draw_series(axes, series, each["answer"].removeprefix(f"{dataset}/"), place)
    axes.set(title=dataset, xlabel="maximum thinking tokens", ylabel="accuracy")
    finish(axes)


def draw_pass_at_k(
    figure: Any, results: Results, tasks: Mapping[str, Cell], config: BenchmarkConfig, dataset: str
) -> None:
    axes = figure.subplots()
    sampled = [(task, cell) for task, cell in tasks.items() if cell.method == "sampling"]
    for place, (task, cell) in enumerate(sampled):
        found = results["results"][task]
        series = [(float(k), *point(found, f"pass@{k},none")[1:]) for k in sorted(config.k)]
        draw_series(axes, series, f"temperature {cell.temperature:g}", place)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(config.k), [str(k) for k in sorted(config.k)])
    axes.set(title=dataset, xlabel="k", ylabel="pass@k")
    finish(axes)


def accuracy_by_level(results: Results, tasks: Mapping[str, Cell]) -> dict[str, dict[str, dict[str, Any]]]:
    """Group (a data set, or all of reasoning-gym) -> level -> system -> figures; only groups with several levels."""
    groups: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    for task, cell in tasks.items():
        group = "reasoning-gym" if cell.dataset.startswith("rg:") else cell.dataset
        for level, found in results["by_level"][task].items():
            for key in found:
                if key.startswith("acc,"):
                    system = task.removeprefix(f"{cell.dataset}/") + key.removeprefix("acc").replace(",none", "")
                    groups[group][level][system] = {**found, "key": key}
    return {group: dict(levels) for group, levels in groups.items() if len(levels) > 1}


def draw_accuracy_by_level(figure: Any, levels: Mapping[str, Mapping[str, Any]], group: str) -> None:
    axes = figure.subplots()
    systems = list(dict.fromkeys(system for found in levels.values() for system in found))
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        points = [
            (x, point(found[system], found[system]["key"]))
            for x, found in enumerate(levels.values())
            if system in found
        ]
        axes.bar(
            [x + (place - (len(systems) - 1) / 2) * width for x, _ in points],
            [mean for _, (_, mean, _, _) in points],
            width,
            yerr=[[mean - low for _, (_, mean, low, _) in points], [high - mean for _, (_, mean, _, high) in points]],
            label=system,
            color=COLORS[place % len(COLORS)],
            hatch=HATCHES[place // len(COLORS) % len(HATCHES)],
            edgecolor="white",
            linewidth=0,
            error_kw={"elinewidth": 0.8},
        )
    names = [f"{level}\nn={max(each['n'] for each in found.values())}" for level, found in levels.items()]
    axes.set_xticks(range(len(levels)), names, rotation=30 if len(levels) > 5 else 0, fontsize="small")
    axes.set(title=f"{group} by level", ylabel="accuracy")
    finish(axes, legend=False)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)


def point(found: Results, key: str, cost: str | None = None) -> tuple[float, float, float, float]:
    metric, _, chosen = key.partition(",")
    low, high = found[f"{metric}_interval,{chosen}"]
    return (found[cost] if cost is not None else 0.0, found[key], low, high)


def draw_series(axes: Any, series: Series, label: str, place: int, dashed: bool = False) -> None:
    """A line with a band, or a point with a bar if there is only one point; in the style of that place in the plot."""
    color, marker = COLORS[place % len(COLORS)], MARKERS[place // len(COLORS) % len(MARKERS)]
    xs, means, lows, highs = zip(*series, strict=True)
    if len(series) == 1:
        bars = [[means[0] - lows[0]], [highs[0] - means[0]]]
        axes.errorbar(xs, means, yerr=bars, fmt=marker, label=label, color=color, capsize=3)
        return
    axes.plot(xs, means, marker=marker, markersize=4, label=label, color=color, linestyle="--" if dashed else "-")
    axes.fill_between(xs, lows, highs, color=color, alpha=0.15, linewidth=0)


def finish(axes: Any, legend: bool = True) -> None:
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(fontsize="small", frameon=False)
