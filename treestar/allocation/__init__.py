"""Allocation: one budget for a whole set of problems, spent where another rollout helps most (Damani et al. 2024)."""

from treestar.allocation.difficulty import DifficultyModel, train_difficulty
from treestar.allocation.evidence import Evidence
from treestar.allocation.gain import Gain, vote_gain
from treestar.allocation.rounds import Turn, next_round
from treestar.allocation.search_set import search_set

__all__ = [
    "DifficultyModel",
    "Evidence",
    "Gain",
    "Turn",
    "next_round",
    "search_set",
    "train_difficulty",
    "vote_gain",
]
