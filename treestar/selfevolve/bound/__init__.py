"""The parts of self-evolution that need the bound format, in which steps compute with names. Start at `programs.py`."""

from treestar.selfevolve.bound.claims import misstates
from treestar.selfevolve.bound.exploration import ExplorationConfig
from treestar.selfevolve.bound.programs import BoundPrograms, programs_of

__all__ = ["BoundPrograms", "ExplorationConfig", "misstates", "programs_of"]
