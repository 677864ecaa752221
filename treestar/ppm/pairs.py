"""Preference pairs from search trees (rStar-Math, section 3.3).

Q-values are too noisy to be targets, but they order siblings well. So of the children of a node at most two with the
highest Q are preferred, each to at most two with the lowest, if the preferred ones reach a right answer and the
others a wrong one. All share the steps before them. Whole trajectories are compared the same way by their mean Q.

Invariant: in every pair q_chosen > q_rejected, and no two pairs of `make_pairs` compare the same two states.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import product
from math import fsum
from typing import Any, Literal

from treestar.policy.formats import trajectory_text
from treestar.ppm.trees import Outcomes, SkippedTree, outcomes, skip_reason
from treestar.search import Node, Tree
from treestar.types import Problem, State

__all__ = ["Pair", "PairCounts", "PairSource", "StateKey", "make_pairs", "mean_q", "pairs_of_tree", "state_key"]

PairSource = Literal["step", "answer"]
"""The kind of comparison: two steps after the same steps, or two whole trajectories."""

StateKey = tuple[str, str]
"""A question, and steps as a policy's context shows them."""

POSITIVES = NEGATIVES = 2
"""Maximum number of preferred and of rejected nodes per group (the paper's numbers)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two states of one tree, the first of them better."""

    prefix: State
    """The steps that both share."""
    chosen: State
    """`prefix` and one step more (source `step`), or a finished trajectory with a right answer (source `answer`)."""
    rejected: State
    q_chosen: float
    """Q of the chosen step, or mean Q over the steps of the chosen trajectory, in [-1, 1]."""
    q_rejected: float
    """The same for the rejected one; less than `q_chosen`."""
    source: PairSource
    group: str
    """Names the place in a tree that this pair and up to three others come from; equation 4 averages over them."""
    weight: float
    """Its share of its tree, in (0, 1]. The weights of a tree sum to 1, those of its groups are equal, and so are those
    of a group's pairs."""

    @property
    def problem(self) -> Problem:
        return self.prefix.problem

    @property
    def step(self) -> int:
        """The first step at which the two differ, from 1."""
        return len(self.prefix.steps) + 1


@dataclass(slots=True)
class PairCounts:
    """The number of pairs from the trees, and the reasons why some gave none."""

    trees: int = 0
    """Number of trees read, including those without pairs."""
    skipped: list[SkippedTree] = field(default_factory=list)
    """Trees and files without pairs."""
    pairs: Counter[tuple[PairSource, int]] = field(default_factory=Counter)
    """Pairs by source and by the step at which they differ."""
    duplicates: int = 0
    """Pairs left out because the same pair was found elsewhere, mostly in another tree of the problem."""
    contradictions: int = 0
    """Pairs left out because trees of the problem disagree on which of the two states is the better."""

    def reasons(self) -> Counter[str]:
        """The number of skipped trees by reason."""
        return Counter(each.reason for each in self.skipped)

    def to_json(self) -> dict[str, Any]:
        by_source: dict[str, dict[str, int]] = {"step": {}, "answer": {}}
        for (source, step), count in sorted(self.pairs.items()):
            by_source[source][str(step)] = count
        return {
            "trees": self.trees,
            "skipped": dict(sorted(self.reasons().items())),
            "skipped_trees": [{"name": each.name, "reason": each.reason} for each in self.skipped],
            "pairs": self.pairs.total(),
            "pairs_by_source_and_step": by_source,
            "duplicates": self.duplicates,
            "contradictions": self.contradictions,
        }

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons().items()))
        sources: Counter[str] = Counter()
        for (source, _), count in self.pairs.items():
            sources[source] += count
        return (
            f"{self.trees:,} trees read; {len(self.skipped):,} gave no pairs{f' ({reasons})' if reasons else ''}; "
            f"{self.pairs.total():,} pairs: {sources['step']:,} of steps, {sources['answer']:,} of trajectories; "
            f"left out {self.duplicates:,} duplicates, {self.contradictions:,} contradictions"
        )


def make_pairs(
    trees: Iterable[Tree], skipped: Sequence[SkippedTree] = (), minimum_margin: float = 0.0
) -> tuple[list[Pair], PairCounts]:
    """The pairs of all `trees`, without duplicates, and counts of pairs and of skipped trees.

    The result does not depend on the order of the trees. If trees of one problem give the same pair, the one with
    the largest margin is kept; if they contradict each other, the preference with the larger sum of margins is kept.

    Args:
        trees: searched with `gold`, so that every answer was judged; others are skipped and counted.
        skipped: files and lines from which no tree could be read (`TreeFolder.skipped`), for the counts. Read after
            the last tree.
        minimum_margin: as in `pairs_of_tree`.
    """
    counts = PairCounts()
    found: list[list[Pair]] = []
    for tree in trees:
        counts.trees += 1
        reason = skip_reason(tree)
        pairs = pairs_of_tree(tree, minimum_margin) if reason is None else []
        if pairs:
            found.append(pairs)
        else:
            counts.skipped.append(SkippedTree(tree.problem.id or tree.problem.question[:60], reason or "no pair"))
    found.sort(key=lambda pairs: (pairs[0].problem.id, pairs[0].group))
    kept = [pair for pairs in without_duplicates(found, counts) for pair in weighted(pairs)]
    counts.skipped = sorted([*skipped, *counts.skipped], key=lambda each: (each.reason, each.name))
    counts.pairs.update((pair.source, pair.step) for pair in kept)
    return kept, counts


def pairs_of_tree(tree: Tree, minimum_margin: float = 0.0) -> list[Pair]:
    """The pairs of one tree: those of each node's children in creation order, then those of its trajectories.

    Only answers that were compared with the gold answer count as right or wrong. A path that ended without an answer
    lowers the Q of the steps that led there, but is not itself a negative: its failure shows when it is run, and no PPM
    is asked about it.

    Args:
        minimum_margin: the least q_chosen - q_rejected; the released rStar-Math code trains on 0.5 and more.
    """
    below = outcomes(tree)
    name = f"{tree.problem.id}:{digest(tree)}"
    pairs: list[Pair] = []
    for node in tree.nodes:
        pairs += best_against_worst(tree, below, node.children, "step", f"{name}:{node.index}", minimum_margin)
    finished = [node for node in tree.terminals() if node.terminal == "answer"]
    pairs += best_against_worst(tree, below, finished, "answer", f"{name}:answer", minimum_margin)
    return weighted(pairs)


def best_against_worst(
    tree: Tree, below: Sequence[Outcomes], nodes: Sequence[Node], source: PairSource, group: str, minimum_margin: float
) -> list[Pair]:
    """Pairs of the best of `nodes` that reach a right answer with the worst that reach a wrong one.

    A node that reaches both can be on both sides: then Q decides which of two such nodes is better. Of nodes with the
    same Q, the one with more visits comes first, then the older one.
    """
    value = node_q if source == "step" else mean_q
    positives = [node for node in nodes if below[node.index].correct]
    negatives = [node for node in nodes if below[node.index].wrong]
    positives.sort(key=lambda node: (-value(node), -node.visits, node.index))
    negatives.sort(key=lambda node: (value(node), -node.visits, node.index))
    pairs = []
    for better, worse in product(positives[:POSITIVES], negatives[:NEGATIVES]):
        q_chosen, q_rejected = value(better), value(worse)
        if q_chosen > q_rejected and q_chosen - q_rejected >= minimum_margin:
            chosen, rejected = tree.state(better), tree.state(worse)
            if state_key(chosen) != state_key(rejected):
                shared = sum(one is other for one, other in zip(better.path(), worse.path(), strict=False))
                prefix = chosen.prefix(shared)
                pairs.append(Pair(prefix, chosen, rejected, q_chosen, q_rejected, source, group, weight=1.0))
    return pairs


def node_q(node: Node) -> float:
    return node.q_value


def mean_q(node: Node) -> float:
    """The mean Q over the steps of the trajectory that ends at `node`."""
    path = node.path()
    return fsum(each.q_value for each in path) / len(path)


def weighted(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs of one tree with weights that sum to 1: equal for its groups, equal within a group."""
    sizes = Counter(pair.group for pair in pairs)
    return [replace(pair, weight=1.0 / (len(sizes) * sizes[pair.group])) for pair in pairs]


def without_duplicates(found: Sequence[Sequence[Pair]], counts: PairCounts) -> list[list[Pair]]:
    """The pairs of each tree without those that compare the same two states as a kept pair."""
    rivals: defaultdict[frozenset[StateKey], list[Pair]] = defaultdict(list)
    for pairs in found:
        for pair in pairs:
            rivals[frozenset((state_key(pair.chosen), state_key(pair.rejected)))].append(pair)
    kept: set[int] = set()
    for same in rivals.values():
        agreeing = prevailing(same)
        counts.contradictions += len(same) - len(agreeing)
        if agreeing:
            counts.duplicates += len(agreeing) - 1
            kept.add(id(max(agreeing, key=margin)))  # max takes the first of equals
    return [[pair for pair in pairs if id(pair) in kept] for pairs in found]


def prevailing(same: Sequence[Pair]) -> list[Pair]:
    """Of the pairs that compare the same two states, those that prefer the state with the larger sum of margins; none
    if the sums are equal."""
    first = state_key(same[0].chosen)
    agreeing = [pair for pair in same if state_key(pair.chosen) == first]
    opposing = [pair for pair in same if state_key(pair.chosen) != first]
    balance = fsum(map(margin, agreeing)) - fsum(map(margin, opposing))
    return agreeing if balance > 0 else opposing if balance < 0 else []


def margin(pair: Pair) -> float:
    return pair.q_chosen - pair.q_rejected


def state_key(state: State) -> StateKey:
    """The identity of a state."""
    return state.problem.question, trajectory_text(state)


def digest(tree: Tree) -> str:
    """A short hash of the data that pairs are made from, the same for equal trees."""
    content = [
        (
            None if node.parent is None else node.parent.index,
            node.step,
            node.execution.output,
            node.visits,
            node.value_sum,
            node.terminal,
            node.correct,
        )
        for node in tree.nodes
    ]
    return blake2b(repr((tree.problem.question, content)).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
