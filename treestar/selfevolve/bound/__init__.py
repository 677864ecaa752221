"""What self-evolution can do only with the bound format, where steps compute with names. `programs.py` is the door."""

from treestar.selfevolve.bound.exploration import ExplorationConfig
from treestar.selfevolve.bound.programs import BoundPrograms, programs_of

__all__ = ["BoundPrograms", "ExplorationConfig", "programs_of"]
