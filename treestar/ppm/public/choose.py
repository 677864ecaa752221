"""Which convention a checkpoint follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from treestar.ppm.model import VALUE_HEAD
from treestar.ppm.public.blank_line_prm import MathPSA, VersaPRM
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention
from treestar.ppm.public.implicit_prm import ImplicitPRM
from treestar.ppm.public.kinds import OWN_KIND, SCORER_KINDS, ScorerKind
from treestar.ppm.public.math_shepherd import MathShepherd
from treestar.ppm.public.qwen_math_prm import QwenMathPRM, ReasonFluxPRM
from treestar.ppm.public.reasoneval import ReasonEval
from treestar.ppm.public.rlhflow import RLHFlowORM, RLHFlowPRM
from treestar.ppm.public.skywork_prm import SkyworkPRM
from treestar.ppm.public.token_classifiers import TRLPRM, PurePRM
from treestar.ppm.public.whole_answers import RewardModel, YesNoVerifier
from treestar.types import TreestarError

__all__ = ["CONVENTIONS", "KIND_KEY", "kind_of"]

KIND_KEY = "treestar_scorer_kind"
"""The entry of a config.json that names the convention, which this project's trainings write."""

CONVENTIONS: Mapping[ScorerKind, type[Convention]] = {
    convention.kind: convention
    for convention in (
        QwenMathPRM,
        ReasonFluxPRM,
        MathShepherd,
        RLHFlowPRM,
        RLHFlowORM,
        SkyworkPRM,
        TRLPRM,
        PurePRM,
        VersaPRM,
        MathPSA,
        ReasonEval,
        ImplicitPRM,
        RewardModel,
        YesNoVerifier,
    )
}
"""Every public convention by its kind. At most one of them recognizes a checkpoint."""


def kind_of(checkpoint: Checkpoint) -> ScorerKind:
    """The kind of scorer that a checkpoint is, from what its files say: config.json, the names of its weights and, for
    causal models that look like any other, its own name.

    Raises:
        TreestarError: nothing recognizes it.
    """
    if (written := checkpoint.config.get(KIND_KEY)) in CONVENTIONS:
        return cast(ScorerKind, written)
    if is_own(checkpoint):
        return OWN_KIND
    for kind, convention in CONVENTIONS.items():
        if convention.recognizes(checkpoint):
            return kind
    architecture = checkpoint.architecture or "model without an architecture in its config.json"
    labels = "" if architecture.endswith("ForCausalLM") else f" with {checkpoint.labels} labels"
    raise TreestarError(
        f"scorer {checkpoint.name!r}: nothing in the files of this {architecture}{labels} says how it scores, so say "
        f"it with --scorer-kind (in Python: scorer_kind), one of {', '.join(SCORER_KINDS)}"
    )


def is_own(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint is in this project's layout, or in that of the released rStar-Math code."""
    if any(key.startswith("treestar_") for key in checkpoint.config):
        return True
    return checkpoint.architecture.endswith("ForCausalLM") and checkpoint.find(VALUE_HEAD) is not None
