"""Problems to measure with, and records of what was measured."""

from treestar.benchmarks.gym import cells, make_problems
from treestar.benchmarks.record import write_record

__all__ = ["cells", "make_problems", "write_record"]
