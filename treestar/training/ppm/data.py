"""Converts search trees to batches: the held-out problems, the terms of an objective, and their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from treestar.policy.backends.transformers import context_length
from treestar.policy.formats import StepFormat, same_steps, step_format_named
from treestar.ppm.encoding import encode
from treestar.ppm.model import PPM
from treestar.ppm.pairs import Pair, PairCounts, make_pairs
from treestar.ppm.trees import SkippedTree, skip_reason
from treestar.search import Tree
from treestar.training.ppm.batches import Batch, TokenTerm, make_batches
from treestar.training.ppm.config import PPMTrainingConfig
from treestar.training.ppm.objectives import Objective, Term, outcome_terms, pair_terms, q_terms
from treestar.types import TreestarError

__all__ = ["TrainingData", "prepare"]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The training batches and the held-out batches; no problem is in both."""

    batches: Sequence[Batch]
    held_out: Sequence[Batch]
    """Pairs, for every objective."""
    counts: PairCounts
    too_long: int
    """Number of terms left out because they exceed the model's context."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal batches."""
        return blake2b(repr((self.batches, self.held_out)).encode(), digest_size=8).hexdigest()

    def __str__(self) -> str:
        found = self.to_json()
        too_long = f"; left out {self.too_long:,} that exceed the model's context" if self.too_long else ""
        return (
            f"training on {found['terms']:,} terms of {found['problems']:,} problems in {found['batches']:,} batches, "
            f"{found['tokens']:,} tokens; held out {found['held_out_pairs']:,} pairs of {found['held_out_problems']:,} "
            f"problems{too_long}"
        )

    def to_json(self) -> dict[str, Any]:
        read = sum(batch.tokens for batch in self.batches)
        return {
            "trees": self.counts.to_json(),
            "problems": problem_count(self.batches),
            "terms": sum(len(batch.terms) for batch in self.batches),
            "too_long": self.too_long,
            "batches": len(self.batches),
            "tokens": read,
            "padding_share": 1 - read / sum(batch.padded_tokens for batch in self.batches),
            "held_out_problems": problem_count(self.held_out),
            "held_out_pairs": sum(len(batch.terms) for batch in self.held_out),
        }


def problem_count(batches: Iterable[Batch]) -> int:
    return len({term.problem for batch in batches for term in batch.terms})


def prepare(
    trees: Iterable[Tree], ppm: PPM, config: PPMTrainingConfig, skipped: Sequence[SkippedTree] = ()
) -> TrainingData:
    """Batches for training and held-out batches from `trees`.

    Args:
        trees: searched with `gold`.
        skipped: files and lines from which no tree could be read, for the counts; read after the last tree.

    Raises:
        TreestarError: the trees give no pairs to train on, or are in another step format.
    """
    trees = list(trees)
    check_step_formats(trees, ppm)
    pairs, counts = make_pairs(trees, skipped, config.minimum_margin)
    aside = held_out_problems(pairs, config)
    kept = [tree for tree in trees if tree.problem.question not in aside]
    terms, too_long = encoded(ppm, terms_of(config.objective, kept, pairs, aside))
    batches = make_batches(terms, config.batch_tokens, config.seed)
    if too_long and not batches:
        raise TreestarError(f"no training data: all {too_long:,} terms exceed the model's context")
    if not batches:
        raise TreestarError(
            f"no training data: {counts}. Pairs need trees in which some answers are right and some wrong: "
            "search problems that the policy sometimes solves, with `--gold`, more rollouts or a higher temperature"
        )
    held_out, more = encoded(ppm, pair_terms(pair for pair in pairs if pair.problem.question in aside))
    return TrainingData(batches, make_batches(held_out, config.batch_tokens, config.seed), counts, too_long + more)


def held_out_problems(pairs: Iterable[Pair], config: PPMTrainingConfig) -> set[str]:
    """The held-out questions: the configured share of those with pairs, but at least one and not all. The seed selects
    them."""
    questions = sorted({pair.problem.question for pair in pairs})
    if config.held_out == 0 or len(questions) < 2:
        return set()
    count = min(max(1, round(config.held_out * len(questions))), len(questions) - 1)
    return set(Random(config.seed).sample(questions, count))


def check_step_formats(trees: Iterable[Tree], ppm: PPM) -> None:
    """Raises TreestarError if steps of `trees` are prose and the PPM reads tags, or the other way around, or if only
    one of them has names for numbers."""
    for name in {tree.config.get("step_format") for tree in trees} - {None}:
        if not reads_alike(step_format_named(str(name)), ppm.step_format):
            raise TreestarError(
                f"the trees were searched in the step format {name}, but this model reads {ppm.step_format.name}: "
                "start from the policy that was searched with"
            )


def reads_alike(one: StepFormat, other: StepFormat) -> bool:
    """Whether both formats are prose, or both write the same steps."""
    return (one.keeps_tokens and other.keeps_tokens) or same_steps(one.name, other.name)


def terms_of(objective: Objective, trees: Iterable[Tree], pairs: Iterable[Pair], aside: set[str]) -> list[Term]:
    """The terms of the objective, from `trees` without the problems in `aside` and from `pairs` of all problems."""
    if objective == "pairs":
        return pair_terms(pair for pair in pairs if pair.problem.question not in aside)
    of_tree = outcome_terms if objective == "orm" else q_terms
    return [term for tree in trees if skip_reason(tree) != "unjudged" for term in of_tree(tree)]


def encoded(ppm: PPM, terms: Iterable[Term]) -> tuple[list[TokenTerm], int]:
    """The terms with their states as tokens, and the number of those left out because they exceed the context."""
    context = context_length(ppm.model.config, ppm.tokenizer)
    found, too_long = [], 0
    for term in terms:
        states = tuple([tuple(encode(ppm.tokenizer, ppm.step_format, state).ids) for state in term.states])
        if max(map(len, states)) <= context:
            found.append(TokenTerm(term.states[0].problem.question, states, term.target, term.weight))
        else:
            too_long += 1
    return found, too_long
