"""ProcessBench (Zheng et al. 2024): how well a scorer finds the first wrong step, by subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from treestar.benchmarks.first_error import (
    NO_ERROR,
    FirstErrorResult,
    best_threshold,
    first_error,
    first_error_intervals,
    first_error_result,
    harmonic_mean,
)
from treestar.benchmarks.report import table
from treestar.benchmarks.step_report import (
    RULES,
    by_subset,
    cost_sentence,
    mean_cost,
    ordered,
    thresholds_by_rule,
    with_interval,
)
from treestar.benchmarks.step_values import Valued

__all__ = ["processbench_report", "processbench_results", "processbench_summary"]

Results = dict[str, Any]


def processbench_results(valued: Sequence[Valued], chosen_on: str | None, threshold: float | None = None) -> Results:
    """The content of results.json.

    Args:
        valued: the solutions of all subsets.
        chosen_on: the subset whose best threshold is used for all; None where there is only NEUTRAL or `threshold`.
        threshold: a threshold to use instead.

    Raises:
        TreestarError: there is no solution of the subset `chosen_on`.
    """
    subsets = by_subset(valued)
    thresholds = thresholds_by_rule(subsets, chosen_on, threshold, best_first_error_threshold)
    rules = {
        rule: {"threshold": value, **measured(subsets, value, chosen_on if rule == "chosen" else None)}
        for rule, value in thresholds.items()
    }
    return {
        "solutions": len(valued),
        "chosen_on": chosen_on if "chosen" in thresholds else None,
        "rules": rules,
        "baselines": {name: {subset: of(own) for subset, own in subsets.items()} for name, of in BASELINES.items()},
        "cost": mean_cost(valued),
    }


def best_first_error_threshold(solutions: Sequence[Valued]) -> float:
    return best_threshold([each.values for each in solutions], [each.label for each in solutions])


def measured(subsets: Mapping[str, Sequence[Valued]], threshold: float, left_out: str | None) -> Results:
    """Each subset's figures at a threshold, and the mean of their F1, of all and of those but `left_out`."""
    found: Results = {}
    for subset, own in subsets.items():
        predicted, labels = [first_error(each.values, threshold) for each in own], [each.label for each in own]
        intervals = first_error_intervals(predicted, labels)
        found[subset] = {**first_error_result(predicted, labels).to_json(), "intervals": intervals}
    others = [found[subset]["f1"] for subset in subsets if subset != left_out]
    return {
        "subsets": found,
        "mean_f1": fmean([each["f1"] for each in found.values()]) if found else 0.0,
        "mean_f1_of_others": fmean(others) if left_out is not None and others else None,
    }


def at_random(solutions: Sequence[Valued]) -> Results:
    """What guessing gives in expectation: each step and `no error` are equally probable."""
    errors = [1.0 / (len(each.values) + 1) for each in solutions if each.label != NO_ERROR]
    others = [1.0 / (len(each.values) + 1) for each in solutions if each.label == NO_ERROR]
    error_accuracy, correct_accuracy = (fmean(each) if each else 0.0 for each in (errors, others))
    return {
        "error_accuracy": error_accuracy,
        "correct_accuracy": correct_accuracy,
        "f1": harmonic_mean(error_accuracy, correct_accuracy),
    }


def always_correct(solutions: Sequence[Valued]) -> Results:
    """What accepting every step gives."""
    labels = [each.label for each in solutions]
    result: FirstErrorResult = first_error_result([NO_ERROR] * len(labels), labels)
    return {name: value for name, value in result.to_json().items() if name not in ("erroneous", "correct")}


BASELINES = {"random": at_random, "always correct": always_correct}


def processbench_report(results: Results, scorer: str, order: Sequence[str]) -> str:
    """The content of report.md.

    Args:
        order: the order of the subsets.
    """
    parts = [
        f"# ProcessBench of {scorer}",
        f"{results['solutions']:,} solutions. A prediction is the index of the first wrong step, or that there is "
        "none. F1 is the harmonic mean of the accuracy on erroneous and on correct solutions. Percent, with 95% "
        "bootstrap intervals over solutions.",
    ]
    head = ["subset", "erroneous", "correct", "acc. erroneous", "acc. correct", "F1"]
    for rule, found in results["rules"].items():
        rows = [
            [
                subset + (" (chosen here)" if rule == "chosen" and subset == results["chosen_on"] else ""),
                f"{own['erroneous']:,}",
                f"{own['correct']:,}",
                *(with_interval(own, name) for name in ("error_accuracy", "correct_accuracy", "f1")),
            ]
            for subset, own in ordered(found["subsets"], order)
        ]
        rows.append(["mean", "", "", "", "", f"{100 * found['mean_f1']:.1f}"])
        if found["mean_f1_of_others"] is not None:
            rows.append(
                [f"mean without {results['chosen_on']}", "", "", "", "", f"{100 * found['mean_f1_of_others']:.1f}"]
            )
        parts += [f"## {RULES[rule].format(found['threshold'])}", table(head, rows)]
    rows = [
        [name, subset, *(f"{100 * own[key]:.1f}" for key in ("error_accuracy", "correct_accuracy", "f1"))]
        for name, found in results["baselines"].items()
        for subset, own in ordered(found, order)
    ]
    parts += ["## Without a scorer", table(["baseline", "subset", "acc. erroneous", "acc. correct", "F1"], rows)]
    parts.append(cost_sentence(results))
    return "\n\n".join(parts) + "\n"


def processbench_summary(results: Results, order: Sequence[str]) -> list[str]:
    """A line for each way to set the threshold: F1 of each subset and their mean."""
    return [
        f"{rule} (threshold {found['threshold']:.4g}): "
        + ", ".join(f"{subset} {100 * own['f1']:.1f}" for subset, own in ordered(found["subsets"], order))
        + f", mean {100 * found['mean_f1']:.1f}"
        for rule, found in results["rules"].items()
    ]
