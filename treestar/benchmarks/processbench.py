"""ProcessBench (Zheng et al. 2024): how well a scorer finds the first wrong step, by subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from treestar.benchmarks.first_error import (
    NO_ERROR,
    best_threshold,
    first_error,
    first_error_figures,
    harmonic_mean,
)
from treestar.benchmarks.solutions import PROCESSBENCH_SUBSETS
from treestar.benchmarks.step_report import Results, label_of, ordered, report_of, results_of, with_interval
from treestar.benchmarks.step_values import Valued

__all__ = ["processbench_report", "processbench_results", "processbench_summary"]


def processbench_results(valued: Sequence[Valued], chosen_on: str | None, threshold: float | None = None) -> Results:
    """The content of results.json.

    Args:
        valued: the solutions of all subsets.
        chosen_on: the subset whose best threshold is used for all; None where there is only NEUTRAL or `threshold`.
        threshold: a threshold to use instead.

    Raises:
        TreestarError: there is no solution of the subset `chosen_on`.
    """
    return results_of(valued, chosen_on, threshold, best_first_error_threshold, measured, BASELINES)


def best_first_error_threshold(solutions: Sequence[Valued]) -> float:
    return best_threshold([each.values for each in solutions], [each.label for each in solutions])


def measured(subsets: Mapping[str, Sequence[Valued]], threshold: float, left_out: str | None) -> Results:
    """Each subset's figures at a threshold, and the mean of their F1, of all and of those but `left_out`."""
    found: Results = {}
    for subset, own in subsets.items():
        predicted, labels = [first_error(each.values, threshold) for each in own], [each.label for each in own]
        found[subset] = first_error_figures(predicted, labels)
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
    figures = first_error_figures([NO_ERROR] * len(solutions), [each.label for each in solutions])
    return {name: figures[name] for name in FIGURES}


BASELINES = {"random": at_random, "always correct": always_correct}

FIGURES = {"error_accuracy": "acc. erroneous", "correct_accuracy": "acc. correct", "f1": "F1"}
"""The figures of a report, and their names there."""


def processbench_report(results: Results, scorer: str) -> str:
    """The content of report.md."""
    about = (
        f"{results['solutions']:,} solutions. A prediction is the index of the first wrong step, or that there is "
        "none. F1 is the harmonic mean of the accuracy on erroneous and on correct solutions. Percent, with 95% "
        "bootstrap intervals over solutions."
    )

    def rows_of(rule: str, found: Results) -> list[list[str]]:
        rows = [
            [
                label_of(subset, rule, results),
                f"{own['erroneous']:,}",
                f"{own['correct']:,}",
                *(with_interval(own, name) for name in FIGURES),
            ]
            for subset, own in ordered(found["subsets"], PROCESSBENCH_SUBSETS)
        ]
        rows.append(["mean", "", "", "", "", f"{100 * found['mean_f1']:.1f}"])
        if (others := found["mean_f1_of_others"]) is not None:
            rows.append([f"mean without {results['chosen_on']}", "", "", "", "", f"{100 * others:.1f}"])
        return rows

    head = ["subset", "erroneous", "correct", *FIGURES.values()]
    return report_of(f"ProcessBench of {scorer}", about, results, head, rows_of, FIGURES, PROCESSBENCH_SUBSETS)


def processbench_summary(results: Results) -> list[str]:
    """A line for each way to set the threshold: F1 of each subset and their mean."""
    return [
        f"{rule} (threshold {found['threshold']:.4g}): "
        + ", ".join(
            f"{subset} {100 * own['f1']:.1f}" for subset, own in ordered(found["subsets"], PROCESSBENCH_SUBSETS)
        )
        + f", mean {100 * found['mean_f1']:.1f}"
        for rule, found in results["rules"].items()
    ]
