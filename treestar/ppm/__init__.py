"""The process preference model: its input, its checkpoint, and the scorer that search uses."""

from treestar.ppm.encoding import Encoded, encode
from treestar.ppm.load import load_scorer
from treestar.ppm.model import PPM, load_ppm, ppm_from_policy
from treestar.ppm.pairs import Pair, PairCounts, make_pairs, pairs_of_tree
from treestar.ppm.scorer import TransformersScorer
from treestar.ppm.trees import read_trees

__all__ = [
    "PPM",
    "Encoded",
    "Pair",
    "PairCounts",
    "TransformersScorer",
    "encode",
    "load_ppm",
    "load_scorer",
    "make_pairs",
    "pairs_of_tree",
    "ppm_from_policy",
    "read_trees",
]
