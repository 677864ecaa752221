"""Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K, and ReasonFlux-PRM-7B, which has the same class.

A conversation whose reply is the steps, each followed by `<extra_0>` and nothing else; two labels through a two-layer
head at every `<extra_0>` (Qwen's model cards; arXiv 2501.07301).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, conversation, marked_at, rendered
from treestar.ppm.public.heads import classifier
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.reading import Head

__all__ = ["LAYERS", "SYSTEM", "QwenMathPRM", "ReasonFluxPRM", "two_layer_head"]

SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
"""The system message of the Qwen2.5-Math models."""

LAYERS = ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")
"""The weights of Qwen's two-layer head."""


class QwenMathPRM(Convention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "qwen-math-prm"
    # Labels say whether a step is right, so one wrong step ruins a solution. Best of 8 in arXiv 2501.07301: the product
    # is best for the PRM-7B (67.6; minimum 67.1, last 66.1), the minimum for the PRM800K one.
    aggregate: Aggregate = "product"
    mark = "<extra_0>"
    system: ClassVar[str | None] = SYSTEM

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        vocabulary = self.tokenizer.get_vocab()
        if self.mark not in vocabulary:
            raise self.no_token(self.mark)
        self.mark_id = vocabulary[self.mark]
        if self.aggregate == "product" and "prm800k" in checkpoint.short_name:
            self.aggregate = "min"

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return has_process_head(checkpoint) and "reasonflux" not in checkpoint.short_name

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        reply = "".join([step + self.mark for step in steps])
        return marked_at(rendered(self, conversation(question, reply, self.system)), self.mark_id)

    def head(self, backbone: Any) -> Head:
        return two_layer_head(self.checkpoint, backbone, [1])


class ReasonFluxPRM(QwenMathPRM):
    """ReasonFlux-PRM-7B: the same without a system message."""

    kind: ClassVar[ScorerKind] = "reasonflux-prm"
    # Its steps are labeled by their quality, not only by correctness; no source names an aggregate.
    aggregate = "mean"
    system: ClassVar[str | None] = None

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return has_process_head(checkpoint) and "reasonflux" in checkpoint.short_name


def has_process_head(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture == "Qwen2ForProcessRewardModel" and checkpoint.has(*LAYERS)


def two_layer_head(checkpoint: Checkpoint, backbone: Any, classes: Sequence[int]) -> Head:
    """Linear, ReLU, linear; see `classifier`."""
    first, first_bias, second, second_bias = checkpoint.tensors(*LAYERS)
    return classifier([(first, first_bias), (second, second_bias)], backbone, classes)
