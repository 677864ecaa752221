"""What the benchmarks of single steps (ProcessBench, PRMBench) report alike: thresholds, parts of the set, baselines,
costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from treestar.benchmarks.report import in_percent, table
from treestar.benchmarks.step_values import Valued
from treestar.types import TreestarError

__all__ = ["Results", "label_of", "ordered", "report_of", "results_of", "with_interval"]

Results = dict[str, Any]

NEUTRAL = 0.0
"""The threshold at which a step is as probably right as wrong: a judge's own verdict."""

RULES = {
    "verdict": "Threshold {0:g}: a step is wrong if it is more probably wrong than right",
    "chosen": "Threshold {0:.4g}, the best one on one part of the set",
    "given": "Threshold {0:g}, as given",
}
"""The headings of the ways to set the threshold."""


def results_of(
    valued: Sequence[Valued],
    chosen_on: str | None,
    threshold: float | None,
    best: Callable[[Sequence[Valued]], float],
    measured: Callable[[Mapping[str, Sequence[Valued]], float, str | None], Results],
    baselines: Mapping[str, Callable[[Sequence[Valued]], Results]],
) -> Results:
    """The content of results.json.

    Args:
        chosen_on, threshold: as for `processbench.processbench_results`.
        best: the threshold that suits solutions best.
        measured: the figures of the parts at a threshold, and those without the part that it was chosen on.
        baselines: the figures of one part without a scorer.
    """
    parts = by_subset(valued)
    thresholds = thresholds_by_rule(parts, chosen_on, threshold, best)
    return {
        "solutions": len(valued),
        "chosen_on": chosen_on if "chosen" in thresholds else None,
        "rules": {
            rule: {"threshold": value, **measured(parts, value, chosen_on if rule == "chosen" else None)}
            for rule, value in thresholds.items()
        },
        "baselines": {name: {part: of(own) for part, own in parts.items()} for name, of in baselines.items()},
        "cost": mean_cost(valued),
    }


def thresholds_by_rule(
    parts: Mapping[str, Sequence[Valued]],
    chosen_on: str | None,
    threshold: float | None,
    best: Callable[[Sequence[Valued]], float],
) -> dict[str, float]:
    """The thresholds to measure with, by their rule in RULES.

    Args:
        parts: the solutions of each part of the set.
        chosen_on, threshold, best: as for `results_of`.

    Raises:
        ValueError: `threshold` is not in [-1, 1].
        TreestarError: there is no solution of the part `chosen_on`.
    """
    if threshold is not None:
        if not -1.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must be at least -1 and at most 1, not {threshold!r}")
        return {"verdict": NEUTRAL, "given": threshold}
    if chosen_on is None:
        return {"verdict": NEUTRAL}
    if chosen_on not in parts:
        raise TreestarError(
            f"the threshold cannot be chosen on {chosen_on}, which is not measured: name {' or '.join(parts)}"
        )
    return {"verdict": NEUTRAL, "chosen": best(parts[chosen_on])}


def by_subset(valued: Sequence[Valued]) -> dict[str, list[Valued]]:
    """The solutions of each subset, in a fixed order."""
    found: dict[str, list[Valued]] = {}
    for each in sorted(valued, key=lambda each: each.number):
        found.setdefault(each.subset, []).append(each)
    return found


def mean_cost(valued: Sequence[Valued]) -> dict[str, float]:
    """The tokens per solution that the scorer read, and that a judge generated."""
    names = ("scored_tokens", "judged_tokens")
    return {name: fmean(getattr(each, name) for each in valued) if valued else 0.0 for name in names}


def report_of(
    title: str,
    about: str,
    results: Results,
    head: Sequence[str],
    rows_of: Callable[[str, Results], list[list[str]]],
    figures: Mapping[str, str],
    order: Iterable[str],
) -> str:
    """The content of report.md: a table for each rule, and the baselines.

    Args:
        head, rows_of: of the table of a rule, from its name and what was measured by it.
        figures: those of a baseline, and their names.
        order: of the parts.
    """
    parts = [f"# {title}", about]
    for rule, found in results["rules"].items():
        parts += [f"## {RULES[rule].format(found['threshold'])}", table(head, rows_of(rule, found))]
    rows = [
        [name, part, *(f"{100 * own[key]:.1f}" for key in figures)]
        for name, found in results["baselines"].items()
        for part, own in ordered(found, order)
    ]
    parts += ["## Without a scorer", table(["baseline", head[0], *figures.values()], rows), cost_sentence(results)]
    return "\n\n".join(parts) + "\n"


def label_of(part: str, rule: str, results: Results) -> str:
    """The name of a part in the table of a rule."""
    return part + (" (chosen here)" if rule == "chosen" and part == results["chosen_on"] else "")


def cost_sentence(results: Mapping[str, Any]) -> str:
    """What a solution costs."""
    cost = results["cost"]
    sentence = f"A solution costs {cost['scored_tokens']:,.0f} tokens read"
    return sentence + (f" and {cost['judged_tokens']:,.0f} generated." if cost["judged_tokens"] else ".")


def with_interval(found: Mapping[str, Any], name: str) -> str:
    return in_percent(found[name], *found["intervals"][name])


def ordered(found: Mapping[str, Any], order: Iterable[str]) -> list[tuple[str, Any]]:
    return [(name, found[name]) for name in order if name in found]
