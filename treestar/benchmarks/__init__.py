"""Benchmark problems, the runner that measures strategies on them, and the results.

The modules that compute (`metrics`, `runner`, `results`, `plots`) load numpy and are imported by name.
"""

from treestar.benchmarks.datasets import NAMED_SETS, ProblemSet, load_problems
from treestar.benchmarks.gym import make_problems
from treestar.benchmarks.gym_levels import cells
from treestar.storage.record import write_record

__all__ = ["NAMED_SETS", "ProblemSet", "cells", "load_problems", "make_problems", "write_record"]
