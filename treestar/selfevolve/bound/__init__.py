"""The parts of self-evolution that need the bound format, in which steps compute with names. Start at `programs.py`."""

from treestar.selfevolve.bound.claims import misstates
from treestar.selfevolve.bound.exploration import ExplorationConfig
from treestar.selfevolve.bound.false_positives import Resample, is_false_positive
from treestar.selfevolve.bound.programs import exploring, resample_for

__all__ = ["ExplorationConfig", "Resample", "exploring", "is_false_positive", "misstates", "resample_for"]
