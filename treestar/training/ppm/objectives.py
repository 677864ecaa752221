"""The objectives of a PPM's training: their terms from trees, and the loss of a term.

`pairs` is the paper's process preference model; `orm` and `q_regression` are its baselines (Table 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from treestar.ppm.pairs import Pair
from treestar.ppm.trees import is_judged
from treestar.search import Tree
from treestar.types import State

if TYPE_CHECKING:
    import torch

__all__ = ["LOSSES", "Loss", "Objective", "Term", "loss_of", "outcome_terms", "pair_terms", "q_terms"]

Objective = Literal["pairs", "orm", "q_regression"]
"""Preference pairs; outcomes of whole trajectories; Q of every visited node."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of the loss."""

    states: tuple[State, ...]
    """(chosen, rejected), or the one state whose score has a target."""
    target: float = 0.0
    """The target of the score; not used by pairs."""
    weight: float = 1.0
    """The summand's factor, above 0."""


def pair_terms(pairs: Iterable[Pair]) -> list[Term]:
    """The pairs with their weights, which implement equation 4's mean over the pairs of a step."""
    return [Term((pair.chosen, pair.rejected), weight=pair.weight) for pair in pairs]


def outcome_terms(tree: Tree) -> list[Term]:
    """Every judged trajectory with its outcome, 1 or 0."""
    judged = [node for node in tree.terminals() if is_judged(node)]
    return weighted_once([Term((tree.state(node),), float(node.correct is True)) for node in judged])


def q_terms(tree: Tree) -> list[Term]:
    """Every visited node with its Q, except the root, which has no step to score."""
    visited = [node for node in tree.nodes if node.depth > 0 and node.visits > 0]
    return weighted_once([Term((tree.state(node),), node.q_value) for node in visited])


def weighted_once(terms: Sequence[Term]) -> list[Term]:
    """The terms of a tree with equal weights that sum to 1, as a tree's pairs have."""
    return [Term(term.states, term.target, 1.0 / len(terms)) for term in terms]


def preference_loss(logits: torch.Tensor, _targets: torch.Tensor, centering: float = 0.0) -> torch.Tensor:
    """-log sigmoid(r+ - r-), where r is the score (rStar-Math, equation 4; Bradley-Terry), and `centering` times the
    square of x+ + x-, where x is the score before tanh (TRL's `center_rewards_coefficient`)."""
    from torch.nn.functional import logsigmoid

    chosen, rejected = logits.tanh().unbind(-1)
    # The square of the scores would not help: if tanh is flat, so is everything computed from it.
    return -logsigmoid(chosen - rejected) + centering * logits.sum(-1) ** 2


def outcome_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the outcome, with (1 + score) / 2 as the probability of a right answer: sigmoid(2 x) is
    (1 + tanh(x)) / 2."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(2.0 * logits.squeeze(-1), targets, reduction="none")


def q_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared difference between score and Q."""
    return (logits.tanh().squeeze(-1) - targets) ** 2


Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

LOSSES: dict[Objective, Loss] = {"pairs": preference_loss, "orm": outcome_loss, "q_regression": q_loss}
"""The loss of each term, shape (terms,), from logits before tanh, shape (terms, states of a term), and the terms'
targets, shape (terms,)."""


def loss_of(objective: Objective, centering: float) -> Loss:
    """The loss of the objective; only that of pairs uses `centering`."""
    return partial(preference_loss, centering=centering) if objective == "pairs" else LOSSES[objective]
