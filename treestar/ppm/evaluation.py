"""Measures the quality of a PPM on trees it was not trained on: how often it prefers the better state, how well it
distinguishes correct steps from wrong ones, and the success rate that a score corresponds to.

Intervals resample whole problems, because states of one problem have much in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treestar.ppm.pairs import Pair, PairCounts, PairSource, StateKey, make_pairs, state_key
from treestar.ppm.trees import Outcomes, SkippedTree, outcomes, skip_reason
from treestar.search import Tree
from treestar.statistics import bootstrap_intervals
from treestar.types import State, TreestarError

__all__ = ["Estimate", "PPMEvaluation", "ReliabilityBin", "ScoreStates", "auc", "evaluate"]

ScoreStates = Callable[[Sequence[State]], Sequence[float]]
"""Returns each state's score in [-1, 1]. Called with all states of one tree, parents first."""

RESAMPLES = 1000
BINS = 10
"""Number of equal-width bins over [-1, 1] for the reliability."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95% bootstrap interval over problems."""

    value: float
    interval: tuple[float, float]
    count: int
    """Number of pairs or states that it is computed from."""
    problems: int
    """Number of their problems."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The states whose score is between two values."""

    low: float
    high: float
    """Not included, except for 1."""
    mean_score: float
    success: Estimate
    """The mean, over these states, of the share of right answers among the trajectories that continue from there."""


@dataclass(frozen=True, slots=True)
class PPMEvaluation:
    """The figures of a PPM on held-out trees."""

    counts: PairCounts
    pair_accuracy: Estimate
    """Share of pairs whose chosen state scores higher; a tie counts half."""
    accuracy_by_source: dict[PairSource, Estimate]
    accuracy_by_step: dict[PairSource, dict[int, Estimate]]
    auc: Estimate
    """Probability that a correct step scores higher than a wrong one, each drawn from all trees; a tie counts half. A
    step is correct if at least half of the trajectories that continue from it end in a right answer."""
    auc_within_problem: Estimate
    """The same with both steps drawn from one problem, averaged over problems, as in a search."""
    reliability: list[ReliabilityBin]
    """The non-empty bins, from low to high."""

    def to_json(self) -> dict[str, Any]:
        return {
            "trees": self.counts.to_json(),
            "pair_accuracy": asdict(self.pair_accuracy),
            "pair_accuracy_by_source": {name: asdict(found) for name, found in self.accuracy_by_source.items()},
            "pair_accuracy_by_source_and_step": {
                source: {str(step): asdict(found) for step, found in steps.items()}
                for source, steps in self.accuracy_by_step.items()
            },
            "auc": asdict(self.auc),
            "auc_within_problem": asdict(self.auc_within_problem),
            "reliability": [asdict(each) for each in self.reliability],
        }

    def __str__(self) -> str:
        rows = [("pair accuracy", self.pair_accuracy)]
        for source, found in self.accuracy_by_source.items():
            rows += [(f"  {NAMES[source]}", found)]
            rows += [(f"    at step {step}", cell) for step, cell in self.accuracy_by_step[source].items()]
        rows += [("AUC of step correctness", self.auc), ("  within a problem", self.auc_within_problem)]
        lines = [f"{'':26}{'value':>8}{'95% interval':>18}{'count':>9}{'problems':>10}"]
        for name, found in rows:
            low, high = found.interval
            span = f"{low:.3f} to {high:.3f}"
            lines.append(f"{name:26}{found.value:8.3f}{span:>18}{found.count:9,}{found.problems:10,}")
        return "\n".join(lines)


NAMES: dict[PairSource, str] = {"step": "of steps", "answer": "of trajectories"}


def evaluate(
    trees: Iterable[Tree], score: ScoreStates, skipped: Sequence[SkippedTree] = (), seed: int = 0
) -> PPMEvaluation:
    """Compare the scores of a PPM with the outcomes that search found for the same states.

    Args:
        trees: held out from training, searched with `gold`. Trees with one outcome give states but no pairs.
        score: the PPM.
        skipped: files and lines from which no tree could be read, for the counts.
        seed: seed of the resamples.

    Raises:
        TreestarError: the trees give no pairs or contradict each other, or a score is not a number in [-1, 1].
    """
    trees = list(trees)
    pairs, counts = make_pairs(trees, skipped)
    if not pairs:
        raise TreestarError(
            f"these trees give no preference pairs: {counts}. Search problems that are sometimes solved and sometimes "
            "not, with --gold, and let each tree find both outcomes"
        )
    judged = [tree for tree in trees if skip_reason(tree) != "unjudged"]
    rollouts = rollouts_from_states(judged)
    scores = scores_of_states(judged, score, rollouts)
    keys = list(rollouts)
    problems = np.unique([question for question, _ in keys], return_inverse=True)[1]
    values = np.array([scores[key] for key in keys])
    success = np.array([rollouts[key].success_rate for key in keys])
    within_problem = mean_auc(values, success >= 0.5, problems, seed)
    return PPMEvaluation(
        counts,
        *pair_accuracies(pairs, scores, seed),
        auc=pooled_auc(values, success >= 0.5, problems, seed),
        auc_within_problem=within_problem,
        reliability=reliability(values, success, problems, seed),
    )


def rollouts_from_states(trees: Iterable[Tree]) -> dict[StateKey, Outcomes]:
    """The outcomes of the trajectories that continue from each state after a step, over all trees of its problem. Only
    states with at least one finished trajectory."""
    found: defaultdict[StateKey, Outcomes] = defaultdict(Outcomes)
    for tree in trees:
        for node, below in zip(tree.nodes[1:], outcomes(tree)[1:], strict=True):
            if below.ended:
                here = found[state_key(tree.state(node))]
                here.correct += below.correct
                here.wrong += below.wrong
                here.unanswered += below.unanswered
    return dict(found)


def scores_of_states(trees: Iterable[Tree], score: ScoreStates, wanted: Container[StateKey]) -> dict[StateKey, float]:
    scores: dict[StateKey, float] = {}
    for tree in trees:
        states = {state_key(state): state for state in map(tree.state, tree.nodes[1:])}
        new = {key: state for key, state in states.items() if key in wanted and key not in scores}
        for key, value in zip(new, score(list(new.values())) if new else (), strict=True):
            if not -1.0 <= value <= 1.0:
                raise TreestarError(f"the PPM scores a step of problem {tree.problem.id!r} {value}: not in [-1, 1]")
            scores[key] = float(value)
    return scores


def pair_accuracies(
    pairs: Sequence[Pair], scores: dict[StateKey, float], seed: int
) -> tuple[Estimate, dict[PairSource, Estimate], dict[PairSource, dict[int, Estimate]]]:
    """The accuracy of all pairs, by source, and by source and step."""
    problems = np.unique([pair.problem.question for pair in pairs], return_inverse=True)[1]
    gaps = np.array([scores[state_key(pair.chosen)] - scores[state_key(pair.rejected)] for pair in pairs])
    right = (np.sign(gaps) + 1.0) / 2.0
    by_source: dict[PairSource, Estimate] = {}
    by_step: dict[PairSource, dict[int, Estimate]] = {}
    for source in NAMES:
        is_of_source = np.array([pair.source == source for pair in pairs])
        if is_of_source.any():
            by_source[source] = mean_over(right, problems, is_of_source, seed)
            steps = np.array([pair.step for pair in pairs])
            by_step[source] = {
                int(step): mean_over(right, problems, is_of_source & (steps == step), seed)
                for step in np.unique(steps[is_of_source])
            }
    return mean_over(right, problems, np.ones(len(pairs), dtype=bool), seed), by_source, by_step


def mean_over(values: Array, problems: NDArray[np.intp], chosen: NDArray[np.bool_], seed: int) -> Estimate:
    """The mean of the chosen values, with equal weights; whole problems are resampled."""
    _, owners = np.unique(problems[chosen], return_inverse=True)
    sums, sizes = np.bincount(owners, values[chosen]), np.bincount(owners)
    draws = resamples(len(sums), seed)
    means = (draws @ sums) / (draws @ sizes)
    return Estimate(float(values[chosen].mean()), percentiles(means), int(chosen.sum()), len(sums))


def pooled_auc(values: Array, correct: NDArray[np.bool_], problems: NDArray[np.intp], seed: int) -> Estimate:
    """The AUC over the states of all problems; a resample with only one kind of step is left out."""
    found = []
    for draw in resamples(int(problems.max()) + 1, seed):
        weights = draw[problems]
        if weights[correct].any() and weights[~correct].any():
            found.append(auc(values, correct, weights))
    return Estimate(auc(values, correct), percentiles(np.array(found)), len(values), len(np.unique(problems)))


def mean_auc(values: Array, correct: NDArray[np.bool_], problems: NDArray[np.intp], seed: int) -> Estimate:
    """The mean, over problems with correct and wrong steps, of the AUC within the problem."""
    own: list[float] = []
    count = 0
    for problem in np.unique(problems):
        here = problems == problem
        if 0 < correct[here].sum() < here.sum():
            own.append(auc(values[here], correct[here]))
            count += int(here.sum())
    if not own:
        raise TreestarError(
            "no problem of these trees has both correct and wrong steps: trees of one problem judge the same answers "
            "differently, so they were not made with the same gold answers"
        )
    [[low, high]] = bootstrap_intervals(np.array(own)[:, None], seed)
    return Estimate(float(np.mean(own)), (float(low), float(high)), count, len(own))


def auc(
    scores: Sequence[float] | Array, positive: Sequence[bool] | NDArray[np.bool_], weights: Array | None = None
) -> float:
    """The area under the ROC curve: the probability that a positive scores higher than a negative, ties counted half.

    Exact for integer weights: pairs are counted, no curve is integrated.

    Args:
        weights: how often each item counts; once if None.

    Raises:
        ValueError: positives or negatives are missing.
    """
    is_positive = np.asarray(positive, dtype=bool)
    counts = np.ones(len(is_positive)) if weights is None else weights
    _, places = np.unique(np.asarray(scores, dtype=float), return_inverse=True)
    positives = np.bincount(places, counts * is_positive)
    negatives = np.bincount(places, counts * ~is_positive)
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    if pairs == 0:
        raise ValueError("the AUC needs positives and negatives")
    return float((positives * (below + negatives / 2.0)).sum() / pairs)


def reliability(values: Array, success: Array, problems: NDArray[np.intp], seed: int) -> list[ReliabilityBin]:
    """The success rate by score, in bins of equal width."""
    edges = np.linspace(-1.0, 1.0, BINS + 1).round(9)
    places = np.clip(np.digitize(values, edges) - 1, 0, BINS - 1)
    return [
        ReliabilityBin(
            float(edges[place]),
            float(edges[place + 1]),
            float(values[places == place].mean()),
            mean_over(success, problems, places == place, seed),
        )
        for place in np.unique(places)
    ]


def resamples(problems: int, seed: int) -> Array:
    """How often each problem is drawn in each resample, shape (RESAMPLES, problems)."""
    return np.random.default_rng(seed).multinomial(problems, np.full(problems, 1.0 / problems), RESAMPLES).astype(float)


def percentiles(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
