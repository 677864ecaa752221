"""The metrics of one problem, from its line in samples.jsonl.

A metric is named `metric,filter`, as in lm-evaluation-harness. The filter defines how an answer is selected from the
trajectories:

    none                        the answer of greedy or of the tree search
    majority, best_of_n, weighted_vote    of all n samples: the most frequent answer, the one with the highest score,
                                the one with the highest sum of e^score
    majority@Ntokens, ...       of the samples that are finished within N tokens, in order
    majority@mcts:Ntokens, ...  of those finished within the tokens that MCTS with budget N spent on this problem
    consensus@k                 the majority of k of the n samples, in expectation
    best_of@k:SCORER, weighted@k:SCORER    likewise by score: `log_probability`, or `ppm` if there is one
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from treestar.benchmarks.matrix import SAMPLING_STRATEGIES, BenchmarkConfig, Cell
from treestar.benchmarks.metrics import (
    NO_ANSWER,
    best_of_k,
    consensus_at_k,
    exact_match,
    pass_at_k,
    token_f1,
    weighted_vote_at_k,
)
from treestar.benchmarks.samples import Row
from treestar.search.answer import score_weight
from treestar.verifier.grading.questions import answer_f1, best_over_golds, contains_answer, exactly_matches

__all__ = ["Answer", "Metrics", "SpentTokens", "is_own_answer", "own_answer_right", "problem_metrics"]

Metrics = dict[str, float]
"""`metric,filter` -> value."""

QUESTION_METRICS = {"exact_match": exactly_matches, "f1": answer_f1, "contains": contains_answer}
"""EM, F1 and Acc of questions about facts; Acc is called `contains`, because `acc` is what the verifier says."""

RETRIEVAL_STEPS = 5
"""Steps of a trajectory with retrieval where the search does not limit them."""

SpentTokens = Mapping[int, int]
"""Token budget -> the tokens that MCTS with that budget generated on this problem, temperature and seed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that a filter selects from a problem's trajectories."""

    text: str | None
    right: bool
    confidence: float | None = None
    """In [0, 1]; None if the filter does not report one."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The first samples of a problem; each list has one entry per sample."""

    texts: list[str | None]
    right: list[bool]
    groups: list[int]
    scores: dict[str, list[float]]
    """By name of the scorer."""

    @property
    def quality(self) -> list[float]:
        """The PPM's scores, or the log-probabilities without a PPM; see `of_answers`."""
        return self.of_answers(self.scores.get("ppm", self.scores["log_probability"]))

    def of_answers(self, scores: list[float]) -> list[float]:
        """The scores, -inf for a sample without an answer."""
        return [-inf if group == NO_ANSWER else score for group, score in zip(self.groups, scores, strict=True)]

    @property
    def group_right(self) -> list[bool]:
        """Whether the answer of each group, as its first sample wrote it, is right."""
        return [self.right[self.groups.index(group)] for group in range(max(self.groups, default=NO_ANSWER) + 1)]


def first_votes(row: Row, count: int) -> Votes:
    scores = {name: values[:count] for name, values in row["scores"].items()}
    return Votes(row["filtered_resps"][:count], row["right"][:count], row["group"][:count], scores)


def problem_metrics(row: Row, cell: Cell, config: BenchmarkConfig, spent: SpentTokens) -> Metrics:
    """Every metric of one line of samples.jsonl."""
    metrics: Metrics = {
        "prompt_tokens,none": float(row["stats"]["prompt_tokens"]),
        "scored_tokens,none": float(tokens_of(row, "scored_tokens")),
        "judged_tokens,none": float(tokens_of(row, "judged_tokens")),
        "rejected_tokens,none": float(tokens_of(row, "rejected_tokens")),
        "executions,none": float(row["stats"]["executions"]),
        "trajectories,none": float(config.samples if cell.method == "sampling" else sum(row["multiplicity"])),
    }
    if lengths := row.get("thinking_tokens"):  # none if a tree search found no answer
        metrics["thinking_tokens,none"] = sum(lengths) / len(lengths)
        if cell.thinking is not None:
            metrics["within_budget,none"] = float(all(length <= cell.thinking for length in lengths))
    metrics |= support_metrics(row, cell)
    if cell.method == "sampling":
        metrics |= sampling_metrics(row, config, spent)
    else:
        metrics["generated_tokens,none"] = float(row["stats"]["generated_tokens"])
        metrics["spent_tokens,none"] = metrics["generated_tokens,none"] + metrics["judged_tokens,none"]
        metrics |= answer_metrics("none", Answer(row["answer"], row["acc"], row["confidence"]), row)
    return metrics


def support_metrics(row: Row, cell: Cell) -> Metrics:
    """The recall of supporting paragraphs after each step, the mean over trajectories; one that has ended keeps what it
    had found."""
    recalls = [each for each in row.get("support_recall", []) if each]
    if not recalls:
        return {}
    steps = cell.config.max_depth or RETRIEVAL_STEPS
    return {
        f"support_recall@{step},none": sum(each[min(step, len(each) - 1)] for each in recalls) / len(recalls)
        for step in range(steps + 1)
    }


def tokens_of(row: Row, kind: str) -> int:
    """Tokens of that kind in the statistics; old runs do not have all kinds."""
    return int(row["stats"].get(kind, 0))


def answer_metrics(name: str, answer: Answer, row: Row) -> Metrics:
    metrics = {f"acc,{name}": float(answer.right)}
    if row["doc"].get("kind") == "qa":
        golds = [row["target"], *map(str, row["doc"].get("answer_aliases") or ())]
        metrics |= {
            f"{metric},{name}": best_over_golds(function, answer.text, golds)
            for metric, function in QUESTION_METRICS.items()
        }
    else:
        metrics[f"exact_match,{name}"] = exact_match(answer.text, row["target"])
        metrics[f"f1,{name}"] = token_f1(answer.text, row["target"])
    if answer.confidence is not None:
        metrics[f"confidence,{name}"] = answer.confidence
        metrics[f"brier,{name}"] = (answer.confidence - answer.right) ** 2
    return metrics


def sampling_metrics(row: Row, config: BenchmarkConfig, spent: SpentTokens) -> Metrics:
    """Metrics of n independent samples at every k and every token budget."""
    n = config.samples
    votes = first_votes(row, n)
    tokens = list(accumulate(row["tokens"]))
    judged = tokens_of(row, "judged_tokens") / len(tokens)
    metrics: Metrics = {"generated_tokens,none": float(tokens[n - 1])}
    for k in config.k:
        metrics |= metrics_at_k(votes, k, tokens[n - 1] / n, seed=row["doc_id"])
        if "ppm" in votes.scores:
            metrics[f"spent_tokens,best_of@{k}:ppm"] = k * (tokens[n - 1] / n + judged)
    limits = {"": inf}
    for budget in config.budget_tokens:
        limits[f"@{budget}tokens"] = budget
        if budget in spent:
            limits[f"@mcts:{budget}tokens"] = spent[budget]
    for strategy in [each for each in SAMPLING_STRATEGIES if each in config.strategies]:
        # The majority does not need a PPM. The others score the samples that they select from.
        has_scores = strategy != "majority"
        for suffix, limit in limits.items():
            costs = [used + judged * count * has_scores for count, used in enumerate(tokens, start=1)]
            count = sum(cost <= limit for cost in costs) if suffix else n
            if suffix:
                policy_tokens = min(limit, costs[-1]) - judged * count * has_scores
                metrics[f"generated_tokens,{strategy}{suffix}"] = float(policy_tokens)
                metrics[f"trajectories,{strategy}{suffix}"] = float(count)
            metrics |= answer_metrics(f"{strategy}{suffix}", CHOOSE[strategy](first_votes(row, count)), row)
            read = has_scores * count / len(tokens)
            metrics[f"scored_tokens,{strategy}{suffix}"] = read * tokens_of(row, "scored_tokens")
            metrics[f"judged_tokens,{strategy}{suffix}"] = read * tokens_of(row, "judged_tokens")
    return metrics


def metrics_at_k(votes: Votes, k: int, tokens_a_sample: float, seed: int) -> Metrics:
    """The unbiased estimates for k samples."""
    consensus = consensus_at_k(votes.groups, votes.group_right, k)
    metrics: Metrics = {
        f"pass@{k},none": pass_at_k(len(votes.right), sum(votes.right), k),
        f"acc,consensus@{k}": consensus.accuracy,
        f"tied,consensus@{k}": consensus.tied,
        f"generated_tokens,consensus@{k}": k * tokens_a_sample,
    }
    for scorer, scores in votes.scores.items():
        weights = [score_weight(score) for score in scores]
        metrics[f"acc,best_of@{k}:{scorer}"] = best_of_k(votes.of_answers(scores), votes.right, k)
        metrics[f"acc,weighted@{k}:{scorer}"] = weighted_vote_at_k(votes.groups, votes.group_right, weights, k, seed)
    return metrics


def majority(votes: Votes) -> Answer:
    """The answer of most samples (of tied ones the first found), in its best-scored wording."""
    return heaviest(votes, [1.0] * len(votes.groups))


def weighted_vote(votes: Votes) -> Answer:
    """The answer whose samples have the highest sum of e^score, in its best-scored wording."""
    return heaviest(votes, [score_weight(score) for score in votes.scores["ppm"]])


def heaviest(votes: Votes, weights: list[float]) -> Answer:
    totals: dict[int, float] = defaultdict(float)
    for group, weight in zip(votes.groups, weights, strict=True):
        if group != NO_ANSWER:
            totals[group] += weight
    if not totals:
        return Answer(None, False, 0.0)
    winner = min(totals, key=lambda group: (-totals[group], group))
    members = [place for place, group in enumerate(votes.groups) if group == winner]
    best_member = max(members, key=votes.quality.__getitem__)
    total = sum(totals.values())
    share = totals[winner] / total if total else 0.0
    return Answer(votes.texts[best_member], votes.right[best_member], share)


def best(votes: Votes) -> Answer:
    """The answer of the sample with the highest score; of tied samples the first."""
    if not votes.groups or max(votes.groups) == NO_ANSWER:
        return Answer(None, False)
    place = max(range(len(votes.groups)), key=votes.quality.__getitem__)
    return Answer(votes.texts[place], votes.right[place])


CHOOSE: Mapping[str, Callable[[Votes], Answer]] = {
    "majority": majority,
    "best_of_n": best,
    "weighted_vote": weighted_vote,
}
"""The selection function of each of `SAMPLING_STRATEGIES`."""


def is_own_answer(chosen: str) -> bool:
    """Whether a filter gives a strategy's own answer, not one at some k."""
    return "@" not in chosen or chosen.endswith("tokens")


def own_answer_right(row: Row, config: BenchmarkConfig) -> bool:
    """Whether the answer of greedy, the tree search or the majority of all samples is right."""
    return bool(row["acc"]) if "acc" in row else majority(first_votes(row, config.samples)).right
