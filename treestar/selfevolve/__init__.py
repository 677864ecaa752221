"""Self-evolution of a policy and a PPM over several rounds, from a bootstrap policy (docs/guides/evolve.md)."""

from treestar.selfevolve.job import Job, load_job, preset_names, preset_path
from treestar.selfevolve.rounds import evolve

__all__ = ["Job", "evolve", "load_job", "preset_names", "preset_path"]
