"""report.md of a self-evolution job: the paper's tables 2, 3, 4 and 6, then the data and the cost of each round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

from treestar.benchmarks.report import in_percent, table
from treestar.plotting import drawn
from treestar.selfevolve.plots import draw_progress
from treestar.selfevolve.round_reports import (
    DIFFICULTIES,
    MEASURES,
    Figure,
    RoundReport,
    cells_of,
    coverage,
    in_order,
    mean_accuracy,
    measured,
    round_name,
)
from treestar.storage.files import write_text

__all__ = ["PICTURE", "TEXT", "render_report", "write_report"]

TEXT, PICTURE = "report.md", "progress.png"
"""The files of a job's report."""

TABLES = {
    "greedy": ("Policy without search (the paper's Table 3)", "Greedy accuracy of each round's new policy."),
    "ppm_fixed_policy": (
        "PPM with the policy fixed (the paper's Table 4)",
        "Accuracy of search with the policy of round 1 and each round's new PPM.",
    ),
    "search": (
        "The full system (the paper's Table 6)",
        "Accuracy of search with each round's new policy and new PPM; the bootstrap policy has no PPM.",
    ),
}


def write_report(reports: Iterable[RoundReport], folder: Path) -> list[Path]:
    """Write report.md and progress.png into `folder`, and return their paths. The picture needs matplotlib.

    Raises:
        OSError: a file cannot be written.
    """
    reports = in_order(reports)
    text, picture = folder / TEXT, folder / PICTURE
    write_text(text, render_report(reports, drawn(partial(draw_progress, reports), picture)))
    return [each for each in (text, picture) if each.exists()]


def render_report(reports: Iterable[RoundReport], picture: str = "") -> str:
    """The report as Markdown.

    Args:
        reports: the round reports, in any order; rounds that are missing are left out.
        picture: the Markdown of the picture.
    """
    reports = in_order(reports)
    rounds = sum(report["round"] > 0 for report in reports)
    parts = [
        f"# Self-evolution, {rounds} round{'' if rounds == 1 else 's'}",
        "Percent, with 95% intervals in brackets: bootstrap over the problems, or Wilson's where all or none are "
        "right. The mean over cells counts each cell alike; its interval takes the cells as independent. A round is "
        "clearly better if its mean rose by more than the two intervals together leave open. Every figure is in the "
        "rounds' report.json.",
        picture,
        *verdicts(reports),
        *coverage_section(reports),
    ]
    for measure, (title, explanation) in TABLES.items():
        if cells_of(reports, measure):
            parts += [f"## {title}", explanation, accuracy_table(reports, measure)]
    parts += [*data_section(reports), *cost_section(reports)]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdicts(reports: Sequence[RoundReport]) -> list[str]:
    """Whether each round is better than the previous one, and on which cells it is not."""
    lines = [
        f"- {sentence}"
        for before, report in pairwise(reports)
        for measure in MEASURES
        if (sentence := verdict(before, report, measure))
    ]
    return ["## Is each round better than the one before?", "\n".join(lines)] if lines else []


def verdict(before: RoundReport, report: RoundReport, measure: str) -> str:
    """One sentence on the mean over the cells that both rounds were measured on, and on the cells that fell."""
    old, new = measured(before, measure), measured(report, measure)
    cells = [cell for cell in new if cell in old]
    if not cells:
        return ""
    mean_before, mean = mean_accuracy(old, cells), mean_accuracy(new, cells)
    rise = mean.value - mean_before.value
    uncertainty = hypot(mean.value - mean.low, mean_before.high - mean_before.value)
    judged = (
        "better than" if rise > uncertainty else "**not clearly better** than" if rise > 0 else "**not better** than"
    )
    sentence = (
        f"{round_name(report)}, {MEASURES[measure]}: {judged} {round_name(before)}, mean {percent(mean)} after "
        f"{percent(mean_before)}; higher in {sum(new[cell].value > old[cell].value for cell in cells)} of {len(cells)} "
        "cells"
    )
    fallen = [cell for cell in cells if new[cell].value < old[cell].value]
    if fallen:
        falls = [f"{cell} ({100 * old[cell].value:.0f} to {100 * new[cell].value:.0f})" for cell in fallen]
        sentence += f", lower in {', '.join(falls)}"
    return f"{sentence}." if rise > 0 else f"{sentence}. {reason(report, measure)}."


def reason(report: RoundReport, measure: str) -> str:
    """The reason from the round's report why it did not improve."""
    phase = "sft" if measure == "greedy" else "ppm_training"
    skipped = (report.get(phase) or {}).get("skipped")
    if skipped:
        return f"Nothing was trained: {skipped}"
    facts = []
    if (report.get("search") or {}).get("solved_first") == 0:
        facts.append("its search solved no problem for the first time")
    if (report.get("selection") or {}).get("trajectories") == 0:
        facts.append("it selected no new trajectory")
    return f"In this round {' and '.join(facts)}" if facts else "The round's own figures do not say why"


def coverage_section(reports: Sequence[RoundReport]) -> list[str]:
    """Table 2: the problems solved by each round's search."""
    searched = [report for report in reports if (report.get("search") or {}).get("problems")]
    if not searched:
        return []
    cells = list(dict.fromkeys(cell for report in searched for cell in report["search"].get("by_cell", {})))
    by_cell = [
        [cell, *(cell_coverage(report["search"].get("by_cell", {}).get(cell)) for report in searched)] for cell in cells
    ]
    solved_so_far = 0
    rows = []
    for report in searched:
        search = report["search"]
        solved_so_far += search.get("solved_first", 0)
        classes = search.get("by_difficulty", {})
        rows.append(
            [
                round_name(report),
                models(report),
                f"{search['problems']:,}",
                percent(coverage(report)),
                *(f"{100 * classes.get(name, 0) / search['problems']:.1f}" for name in DIFFICULTIES),
                count(search, "solved_first"),
                f"{solved_so_far:,}" if "solved_first" in search else "",
            ]
        )
    return [
        "## Coverage of the training problems (the paper's Table 2)",
        "A problem is solved if a search of this round found a trajectory with the right answer that stood every "
        "check, and easy, medium or hard by the share of its finished trajectories that are right.",
        table(["", "searched with", "problems", "solved", *DIFFICULTIES, "solved for the first time", "so far"], rows),
        table(["solved, by cell", *map(round_name, searched)], by_cell),
        escalation_table(searched),
    ]


def escalation_table(reports: Sequence[RoundReport]) -> str:
    """The results of further searches of unsolved problems, if a round has any."""
    attempts = {round_name(report): report["search"].get("by_attempt", []) for report in reports}
    most = max(map(len, attempts.values()))
    if most < 2:
        return ""
    rows = [
        [name, *(f"{each['solved']:,} of {each['searches']:,}" for each in found), *[""] * (most - len(found))]
        for name, found in attempts.items()
    ]
    return table(["solved, by attempt", "every problem", *(f"still unsolved, {i}" for i in range(1, most))], rows)


def accuracy_table(reports: Sequence[RoundReport], measure: str) -> str:
    """Accuracy by cell, one column per round."""
    shown = [report for report in reports if measured(report, measure)]
    cells = cells_of(shown, measure)
    figures = [measured(report, measure) for report in shown]
    problems = {cell: found["problems"] for each in shown for cell, found in each["evaluation"][measure].items()}
    rows = [[cell, f"{problems[cell]:,}", *(percent(found.get(cell)) for found in figures)] for cell in cells]
    if len(cells) > 1:
        # A mean over fewer cells would not be comparable.
        means = [percent(mean_accuracy(found, cells)) if len(found) == len(cells) else "" for found in figures]
        rows.append(["mean over cells", f"{sum(problems.values()):,}", *means])
    return table(["", "problems", *map(round_name, shown)], rows)


def data_section(reports: Sequence[RoundReport]) -> list[str]:
    """The training data selected by each round."""
    columns = {
        "trajectories": "new trajectories",
        "false_positives": "false positives left out",
        "duplicates": "duplicates left out",
        "rows": "trajectories in SFT",
        "pairs": "preference pairs",
    }
    selected = [report for report in reports if report.get("selection")]
    shown = [key for key in columns if any(key in report["selection"] for report in selected)]
    rows = [[round_name(report), *(count(report["selection"], key) for key in shown)] for report in selected]
    return ["## Data", table(["", *(columns[key] for key in shown)], rows)] if rows else []


def cost_section(reports: Sequence[RoundReport]) -> list[str]:
    """Seconds and tokens by phase, and the cost of the searches in detail."""
    phased = [report for report in reports if report.get("phases")]
    if not phased:
        return []
    phases = list(dict.fromkeys(phase for report in reversed(phased) for phase in report["phases"]))
    seconds, tokens = (
        [
            [name, *(f"{value:,.0f}" if value is not None else "" for value in values), f"{total:,.0f}"]
            for name, values, total in with_sum(phased, phases, key)
        ]
        for key in ("seconds", "generated_tokens")
    )
    return [
        "## Cost",
        table(["seconds", *phases, "all"], seconds),
        table(["generated tokens", *phases, "all"], tokens),
        search_cost_table(reports),
    ]


def with_sum(
    reports: Sequence[RoundReport], phases: Sequence[str], key: str
) -> list[tuple[str, list[float | None], float]]:
    """One row per round and one for all rounds: the name, the value of each phase, their sum."""
    found = [[report["phases"].get(phase, {}).get(key) for phase in phases] for report in reports]
    rows = list(zip(map(round_name, reports), found, strict=True))
    if len(rows) > 1:
        rows.append(("all", [sum(value or 0 for value in column) for column in zip(*found, strict=True)]))
    return [(name, values, sum(value or 0 for value in values)) for name, values in rows]


def search_cost_table(reports: Sequence[RoundReport]) -> str:
    """The share of generation in the searches' time, and their counts and rates."""
    rows = []
    searches = [report.get("search") or {} for report in reports]
    counts = ["rollouts", "generated_tokens", "scored_tokens", "executions"]
    head = ["search", "rollouts", "generated tokens", "tokens read by the PPM", "steps run", "seconds"]
    if any(search.get("judged_tokens") for search in searches):
        counts.insert(2, "judged_tokens")
        head.insert(3, "tokens generated by the judge")
    for report, search in zip(reports, searches, strict=True):
        if search.get("seconds"):
            share = search["generation_seconds"] / search["seconds"]
            rows.append(
                [
                    round_name(report),
                    *(count(search, key) for key in counts),
                    f"{search['seconds']:,.0f}",
                    f"{100 * share:.0f}",
                    f"{search['execution_seconds']:,.0f}",
                    f"{search['rollouts'] / search['seconds']:,.1f}",
                    f"{search['generated_tokens'] / search['seconds']:,.0f}",
                ]
            )
    head += ["% of them generating, over all workers", "seconds in steps", "rollouts/s", "tokens/s"]
    return table(head, rows)


def models(report: RoundReport) -> str:
    """The models that a round searched with."""
    return f"{report['policy']} and {report['ppm']}" if report.get("ppm") else str(report["policy"])


def cell_coverage(found: dict[str, int] | None) -> str:
    if not found:
        return ""
    return f"{100 * found['solved'] / found['problems']:.0f} ({found['solved']:,} of {found['problems']:,})"


def count(found: dict[str, Any], key: str) -> str:
    return f"{found[key]:,}" if key in found else ""


def percent(figure: Figure | None) -> str:
    return "" if figure is None else in_percent(*figure)
