"""Public process and outcome reward models as scorers: one file for each convention, one engine for all.

Importing this package loads neither torch nor transformers.
"""

from treestar.ppm.public.aggregate import AGGREGATES, Aggregate
from treestar.ppm.public.kinds import JUDGE_KIND, OWN_KIND, SCORER_KINDS, ScorerKind

__all__ = ["AGGREGATES", "JUDGE_KIND", "OWN_KIND", "SCORER_KINDS", "Aggregate", "ScorerKind"]
