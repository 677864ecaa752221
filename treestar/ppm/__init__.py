"""The process preference model: what it reads, its checkpoint, and the scorer that search asks."""

from treestar.ppm.encoding import Encoded, encode
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy

__all__ = ["PPM", "Encoded", "encode", "load_ppm", "ppm_from_policy"]
