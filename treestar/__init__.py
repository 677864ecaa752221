"""treestar: test-time search for math reasoning. Ask a question, get an answer whose every step was executed.

>>> import treestar
>>> result = treestar.Solver().solve("What is 12 times 12?")
>>> result.answer, result.confidence, result.trajectory
"""

from treestar.search import (
    AdaptiveBranchingConfig,
    AdaptiveConsistencyConfig,
    BeamSearchConfig,
    BestOfNConfig,
    Budget,
    ChunkResetConfig,
    DeepConfConfig,
    DVTSConfig,
    ESCConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    SearchResult,
    SearchStats,
    TrajectoryStep,
    Tree,
    WeightedVoteConfig,
)
from treestar.solver import Solver
from treestar.types import (
    Execution,
    Executor,
    Interpreter,
    Policy,
    Problem,
    Proposal,
    Sampling,
    Scorer,
    Scores,
    State,
    Step,
    ThinkingBudget,
    TreestarError,
    Verifier,
)
from treestar.workers import RayConfig

__version__ = "0.2.0"

__all__ = [
    "AdaptiveBranchingConfig",
    "AdaptiveConsistencyConfig",
    "BeamSearchConfig",
    "BestOfNConfig",
    "Budget",
    "ChunkResetConfig",
    "DVTSConfig",
    "DeepConfConfig",
    "ESCConfig",
    "Execution",
    "Executor",
    "GreedyConfig",
    "Interpreter",
    "MCTSConfig",
    "MajorityConfig",
    "Policy",
    "Problem",
    "Proposal",
    "RayConfig",
    "Sampling",
    "Scorer",
    "Scores",
    "SearchResult",
    "SearchStats",
    "Solver",
    "State",
    "Step",
    "ThinkingBudget",
    "TrajectoryStep",
    "Tree",
    "TreestarError",
    "Verifier",
    "WeightedVoteConfig",
    "__version__",
]
