"""The figures of one problem, from its line in samples.jsonl.

A figure is named `metric,filter`, as in lm-evaluation-harness. The filter says how an answer comes from the
trajectories:

    none                        the answer that greedy or the tree search gave
    majority, best_of_n         of all n samples: the answer that most of them give, the one with the highest score
    majority@Ntokens, ...       of the samples that, one after another, are finished within N tokens
    majority@mcts:Ntokens, ...  of those that are finished within what MCTS with budget N spent on this very problem
    consensus@k                 the majority of k of the n samples, in expectation
    best_of@k:SCORER, weighted@k:SCORER    likewise by score: `log_probability`, or `ppm` where there is one
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import exp, inf

from treestar.benchmarks.matrix import BenchmarkConfig, Cell
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

__all__ = ["Answer", "Metrics", "SpentTokens", "own_answer_right", "problem_metrics"]

Metrics = dict[str, float]
"""`metric,filter` -> value."""

SpentTokens = Mapping[int, int]
"""Token budget -> the tokens that MCTS with that budget generated on this problem, with this temperature and seed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a filter made of a problem's trajectories."""

    text: str | None
    right: bool
    confidence: float | None = None
    """In [0, 1]; None where the filter reports none."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The first samples of a problem: a list entry for each."""

    texts: list[str | None]
    right: list[bool]
    groups: list[int]
    scores: dict[str, list[float]]
    """By the scorer's name."""

    @property
    def quality(self) -> list[float]:
        """The PPM's scores, or the log-probabilities where there is no PPM; -inf for a sample without an answer."""
        scores = self.scores.get("ppm", self.scores["log_probability"])
        return [-inf if group == NO_ANSWER else score for group, score in zip(self.groups, scores, strict=True)]

    @property
    def group_right(self) -> list[bool]:
        """For each group whether its answer, as the first sample wrote it, is right."""
        return [self.right[self.groups.index(group)] for group in range(max(self.groups, default=NO_ANSWER) + 1)]


def first_votes(row: Row, count: int) -> Votes:
    scores = {name: values[:count] for name, values in row["scores"].items()}
    return Votes(row["filtered_resps"][:count], row["right"][:count], row["group"][:count], scores)


def problem_metrics(row: Row, cell: Cell, config: BenchmarkConfig, spent: SpentTokens) -> Metrics:
    """Every figure of one line of samples.jsonl."""
    metrics: Metrics = {
        "prompt_tokens,none": float(row["stats"]["prompt_tokens"]),
        "executions,none": float(row["stats"]["executions"]),
        "trajectories,none": float(config.samples if cell.method == "sampling" else sum(row["multiplicity"])),
    }
    if cell.method == "sampling":
        metrics |= sampling_metrics(row, config, spent)
    else:
        metrics["generated_tokens,none"] = float(row["stats"]["generated_tokens"])
        metrics |= answer_metrics("none", Answer(row["answer"], row["acc"], row["confidence"]), row["target"])
    return metrics


def answer_metrics(name: str, answer: Answer, gold: str) -> Metrics:
    metrics = {
        f"acc,{name}": float(answer.right),
        f"exact_match,{name}": exact_match(answer.text, gold),
        f"f1,{name}": token_f1(answer.text, gold),
    }
    if answer.confidence is not None:
        metrics[f"confidence,{name}"] = answer.confidence
        metrics[f"brier,{name}"] = (answer.confidence - answer.right) ** 2
    return metrics


def sampling_metrics(row: Row, config: BenchmarkConfig, spent: SpentTokens) -> Metrics:
    """What n independent samples say about every k, and about every token budget."""
    n = config.samples
    votes = first_votes(row, n)
    tokens = list(accumulate(row["tokens"]))
    metrics: Metrics = {"generated_tokens,none": float(tokens[n - 1])}
    for k in config.k:
        metrics |= metrics_at_k(votes, k, tokens[n - 1] / n, seed=row["doc_id"])
    prefixes = {"": n}
    for budget in config.budget_tokens:
        for suffix, limit in ((f"@{budget}tokens", budget), (f"@mcts:{budget}tokens", spent.get(budget))):
            if limit is not None:
                prefixes[suffix] = sum(used <= limit for used in tokens)
                for strategy in ("majority", "best_of_n"):
                    if strategy in config.strategies:
                        metrics[f"generated_tokens,{strategy}{suffix}"] = float(min(limit, tokens[-1]))
                        metrics[f"trajectories,{strategy}{suffix}"] = float(prefixes[suffix])
    for suffix, count in prefixes.items():
        chosen = first_votes(row, count)
        if "majority" in config.strategies:
            metrics |= answer_metrics(f"majority{suffix}", majority(chosen), row["target"])
        if "best_of_n" in config.strategies:
            metrics |= answer_metrics(f"best_of_n{suffix}", best(chosen), row["target"])
    return metrics


def metrics_at_k(votes: Votes, k: int, tokens_a_sample: float, seed: int) -> Metrics:
    """The unbiased estimates for k of the samples."""
    consensus = consensus_at_k(votes.groups, votes.group_right, k)
    metrics: Metrics = {
        f"pass@{k},none": pass_at_k(len(votes.right), sum(votes.right), k),
        f"acc,consensus@{k}": consensus.accuracy,
        f"tied,consensus@{k}": consensus.tied,
        f"generated_tokens,consensus@{k}": k * tokens_a_sample,
    }
    for scorer, scores in votes.scores.items():
        answered = [-inf if group == NO_ANSWER else score for group, score in zip(votes.groups, scores, strict=True)]
        weights = [(1.0 + score) / 2.0 if scorer == "ppm" else exp(score) for score in scores]
        metrics[f"acc,best_of@{k}:{scorer}"] = best_of_k(answered, votes.right, k)
        metrics[f"acc,weighted@{k}:{scorer}"] = weighted_vote_at_k(votes.groups, votes.group_right, weights, k, seed)
    return metrics


def majority(votes: Votes) -> Answer:
    """The answer that most samples give, the one found first where several have as many; its best-scored wording."""
    counts = Counter(group for group in votes.groups if group != NO_ANSWER)
    if not counts:
        return Answer(None, False, 0.0)
    winner = min(counts, key=lambda group: (-counts[group], group))
    members = [place for place, group in enumerate(votes.groups) if group == winner]
    best_member = max(members, key=votes.quality.__getitem__)
    return Answer(votes.texts[best_member], votes.right[best_member], counts[winner] / counts.total())


def best(votes: Votes) -> Answer:
    """The answer of the sample with the highest score, the first where several have it."""
    if not votes.groups or max(votes.groups) == NO_ANSWER:
        return Answer(None, False)
    place = max(range(len(votes.groups)), key=votes.quality.__getitem__)
    return Answer(votes.texts[place], votes.right[place])


def own_answer_right(row: Row, config: BenchmarkConfig) -> bool:
    """Whether the answer that greedy, the tree search or the majority of all samples gave is right."""
    return bool(row["acc"]) if "acc" in row else majority(first_votes(row, config.samples)).right
