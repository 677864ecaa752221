"""From finished trajectories to one answer: equivalence groups, and the ways to choose among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, fsum
from typing import Literal

from treestar.search.tree import Node
from treestar.types import Verifier

__all__ = [
    "AnswerGroup",
    "AnswerGroups",
    "Choice",
    "Decision",
    "Weighting",
    "choose",
    "decide",
    "mean_log_probability",
    "sampled_mass",
    "score_weight",
    "trajectory_score",
    "trajectory_value",
]

Choice = Literal["weighted", "majority", "best"]
Weighting = Choice | Callable[[Node], float]
"""`Choice`, or what each trajectory adds to its answer's group, by its terminal node, >= 0."""


LARGEST_EXPONENT = 700.0
"""`exp` overflows a little above; a trajectory of a thousand steps can have as large a sum of scores."""


@dataclass(slots=True)
class AnswerGroup:
    """Terminal nodes whose answers mean the same."""

    answer: str
    """The first of them as it was written."""
    members: list[Node] = field(default_factory=list)
    mass: float = 0.0
    """Share of the policy's trajectories that end here, estimated from the tree's samples (`sampled_mass`)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The choice of one answer among those of the finished trajectories."""

    node: Node
    """The chosen trajectory's terminal node."""
    confidence: float
    """The share of all weight that the chosen answer's group has, in [0, 1]."""
    others: tuple[tuple[str, float], ...]
    """The answers that were not chosen, with their shares; the largest share first."""


@dataclass(slots=True)
class AnswerGroups:
    """The finished trajectories of one tree, grouped by mathematical equivalence: the connected components."""

    verifier: Verifier
    groups: list[AnswerGroup] = field(default_factory=list)
    group_of: dict[str, AnswerGroup] = field(default_factory=dict)
    """By each answer as it was written."""
    mass: float = 0.0
    """The groups' masses added up."""
    open_mass: float = 1.0
    """Share of the policy's trajectories that no finished path accounts for yet."""

    async def add(self, node: Node) -> AnswerGroup:
        """Put a terminal node that has an answer into its group."""
        assert node.answer is not None
        group = self.group_of.get(node.answer)
        if group is None:
            group = await self.find_or_begin(node.answer)
            self.group_of[node.answer] = group
        group.members.append(node)
        mass = self.settle(node)
        group.mass += mass
        self.mass += mass
        return group

    def settle(self, node: Node) -> float:
        """Count a terminal node, with or without an answer, as finished; returns its sampled mass."""
        mass = sampled_mass(node)
        self.open_mass -= mass
        return mass

    def discard(self, node: Node) -> None:
        """Remove a terminal node, as if its trajectory had not stated an answer."""
        assert node.answer is not None
        group = self.group_of[node.answer]
        group.members.remove(node)
        mass = sampled_mass(node)
        group.mass -= mass
        self.mass -= mass
        if not group.members:
            self.groups.remove(group)
            self.group_of = {answer: owner for answer, owner in self.group_of.items() if owner is not group}

    async def find_or_begin(self, answer: str) -> AnswerGroup:
        """The group that `answer` belongs to. Equivalence is not transitive (50% equals 50 and 0.5), so an answer that
        equals members of several groups joins them: otherwise the groups would depend on the order of the answers."""
        alike = [group for group in self.groups if await self.equals_any(group, answer)]
        if not alike:
            self.groups.append(AnswerGroup(answer))
            return self.groups[-1]
        first, *others = alike
        for group in others:
            first.members.extend(group.members)
            first.mass += group.mass
            self.groups.remove(group)
            self.group_of.update(dict.fromkeys(self.spellings(group), first))
        return first

    async def equals_any(self, group: AnswerGroup, answer: str) -> bool:
        for spelling in dict.fromkeys([group.answer, *self.spellings(group)]):
            if await self.verifier.equivalent(spelling, answer):
                return True
        return False

    def spellings(self, group: AnswerGroup) -> list[str]:
        """The different texts of the group's answers."""
        return [answer for answer, owner in self.group_of.items() if owner is group]

    def agreement(self, group: AnswerGroup) -> float:
        """The share of the finished mass that agrees with `group`, scaled to [-1, 1] (self-consistency as reward;
        rStar, arXiv 2408.06195)."""
        return 2.0 * self.share(group) - 1.0

    def share(self, group: AnswerGroup) -> float:
        """The share of the finished mass that agrees with `group`; that of the finished trajectories where all mass is
        so small that it rounds to 0."""
        if self.mass > 0:
            return group.mass / self.mass
        return len(group.members) / sum(len(each.members) for each in self.groups)

    def decided(self) -> bool:
        """Whether the leading group stays the heaviest, whatever the open paths find."""
        masses = sorted([group.mass for group in self.groups], reverse=True)
        second = masses[1] if len(masses) > 1 else 0.0
        return bool(masses) and masses[0] - second > self.open_mass + 1e-9


def sampled_mass(node: Node) -> float:
    """The share of the policy's trajectories that the tree's samples give to the path to `node`, in (0, 1].

    A product over the path: the fraction of the candidates sampled there (and not pruned) that were this step, or, if
    they were distinct, this step's share of their probability. A tree samples probable and improbable branches alike;
    with this share they count as often as the policy itself would take them.
    """
    mass = 1.0
    while (parent := node.parent) is not None:
        if parent.children_mass is None:
            parent.children_mass = fsum([child.mass for child in parent.children])
        mass *= node.mass / parent.children_mass
        node = parent
    return mass


def mean_log_probability(node: Node) -> float:
    """Log-probability of the trajectory that ends at `node`, divided by its tokens; <= 0."""
    steps = [each.step for each in node.path() if each.step is not None]
    tokens = sum([step.tokens for step in steps])
    return fsum([step.log_probability for step in steps]) / max(tokens, 1)


def trajectory_score(node: Node) -> float | None:
    """The PPM's score of the trajectory that ends at `node`: the sum of its steps' scores; None without a PPM.

    A PPM is trained on siblings. Its score says how good a step is given the steps before it, and ignores what was
    wrong with those, so no single score represents a trajectory, not even the last. A scorer that judges paths
    (`Scores.of_paths`) has already combined the steps: its score of the last state is the trajectory's.
    """
    if node.scores_path:
        return node.score
    scores = [each.score for each in node.path() if each.score is not None]
    return fsum(scores) if scores else None


def trajectory_value(node: Node) -> float | None:
    """The PPM's value of the trajectory that ends at `node`, in [-1, 1]: the mean of its steps' scores, or the score of
    the path if the scorer judges paths; None without a PPM."""
    score = trajectory_score(node)
    return score if score is None or node.scores_path else score / node.depth


def trajectory_quality(node: Node) -> float:
    """What single trajectories are ranked by: the PPM's score, or without a PPM the mean log-probability."""
    score = trajectory_score(node)
    return mean_log_probability(node) if score is None else score


def score_weight(score: float) -> float:
    """What a trajectory with this score weighs in a vote: a PPM considers a step with a score higher by s to be e^s
    times as likely to be the better one (rStar-Math, equation 4)."""
    return exp(min(score, LARGEST_EXPONENT))


def trajectory_weight(node: Node, choice: Weighting) -> float:
    """What one trajectory adds to its answer's group, >= 0."""
    if callable(choice):
        return choice(node)
    if choice == "majority":
        return float(node.multiplicity)
    if choice == "best":
        return score_weight(trajectory_quality(node))
    # The sampled mass is the prior, because a tree samples probable and improbable branches alike.
    return sampled_mass(node) * score_weight(trajectory_score(node) or 0.0)


def choose(groups: AnswerGroups, choice: Weighting) -> tuple[Node, float] | None:
    """The chosen trajectory's terminal node and the confidence in its answer, or None if nothing was finished; see
    `decide`."""
    decision = decide(groups, choice)
    return None if decision is None else (decision.node, decision.confidence)


def decide(groups: AnswerGroups, choice: Weighting) -> Decision | None:
    """The choice among the finished trajectories, or None if there are none.

    `best` takes the best trajectory of all, and the others that of the heaviest group. Ties go to the group found
    first.
    """
    if not groups.groups:
        return None
    weights = answer_weights(groups, choice)
    places = range(len(weights))
    if choice == "best":
        chosen = max(places, key=lambda place: max(map(trajectory_quality, groups.groups[place].members)))
    else:
        chosen = max(places, key=weights.__getitem__)
    total = fsum(weights)
    shares = [weight / total for weight in weights]
    others = [(groups.groups[place].answer, shares[place]) for place in places if place != chosen]
    others.sort(key=lambda each: -each[1])
    return Decision(max(groups.groups[chosen].members, key=trajectory_quality), shares[chosen], tuple(others))


def answer_weights(groups: AnswerGroups, choice: Weighting) -> list[float]:
    """The weight of each group's trajectories; their number where all weights are so small that they round to 0."""
    weights = [fsum([trajectory_weight(node, choice) for node in group.members]) for group in groups.groups]
    return weights if any(weights) else [float(len(group.members)) for group in groups.groups]
