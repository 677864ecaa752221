"""Tree search over reasoning steps: the tree, selection rules, strategies, and the engine that runs many searches."""

from treestar.search.answer import AnswerGroup, AnswerGroups, choose
from treestar.search.budget import Budget
from treestar.search.config import (
    AdaptiveBranchingConfig,
    AdaptiveConsistencyConfig,
    BeamSearchConfig,
    BestOfNConfig,
    ChunkResetConfig,
    DeepConfConfig,
    DVTSConfig,
    ESCConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    SamplesConfig,
    SearchConfig,
    WeightedVoteConfig,
)
from treestar.search.engine import STRATEGIES, search_many, search_one
from treestar.search.expansion import Components, Search
from treestar.search.result import SearchResult, SearchStats, TrajectoryStep
from treestar.search.selection import puct, select_child, uct
from treestar.search.tree import Node, Tree

__all__ = [
    "STRATEGIES",
    "AdaptiveBranchingConfig",
    "AdaptiveConsistencyConfig",
    "AnswerGroup",
    "AnswerGroups",
    "BeamSearchConfig",
    "BestOfNConfig",
    "Budget",
    "ChunkResetConfig",
    "Components",
    "DVTSConfig",
    "DeepConfConfig",
    "ESCConfig",
    "GreedyConfig",
    "MCTSConfig",
    "MajorityConfig",
    "Node",
    "SamplesConfig",
    "Search",
    "SearchConfig",
    "SearchResult",
    "SearchStats",
    "TrajectoryStep",
    "Tree",
    "WeightedVoteConfig",
    "choose",
    "puct",
    "search_many",
    "search_one",
    "select_child",
    "uct",
]
