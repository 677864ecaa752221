"""treestar: test-time search for math reasoning. Ask a question, get an answer whose every step was executed.

>>> import treestar
>>> result = treestar.Solver().solve("What is 12 times 12?")
>>> result.answer, result.confidence, result.trajectory
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

HOMES = ("types", "workers", "search", "solver")
"""The modules that have the public names, those first that load fastest."""

if not TYPE_CHECKING:  # to a type checker, only what is imported above exists

    def __getattr__(name: str) -> Any:
        """A public name or a room, imported when it is first used: the command starts before all of them are loaded."""
        from importlib import import_module
        from importlib.util import find_spec

        for home in HOMES if name in __all__ else ():
            module = import_module(f"treestar.{home}")
            if name in module.__all__:
                globals()[name] = getattr(module, name)
                return globals()[name]
        if not name.startswith("_") and find_spec(f"treestar.{name}") is not None:
            return import_module(f"treestar.{name}")
        raise AttributeError(f"module 'treestar' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
