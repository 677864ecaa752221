"""Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B: `{bos}{question}\\n`, then the solution's lines, each tokenized alone and
ended by the token of the line break, where a value head gives the logit of its being right.

Every line has a score; a step's is that of its last line (skywork-o1-prm-inference, io_utils.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import probability_of_reward
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, ids_of, last_id
from treestar.ppm.public.heads import classifier
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.reading import Head
from treestar.types import TreestarError

__all__ = ["SkyworkPRM"]

HEAD = ("v_head.summary.weight", "v_head.summary.bias")

SIGMOID = 2.0
"""(1 + tanh(x / 2)) / 2 is the sigmoid of x."""


class SkyworkPRM(Convention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "skywork-prm"
    aggregate = "last"  # as in Hugging Face's search-and-learn; the model's authors name none

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        if not self.tokenizer.bos_token:
            raise TreestarError(
                f"scorer {checkpoint.name!r}: its tokenizer has no `bos_token`, with which a model of the kind "
                f"{self.kind} begins: give the tokenizer that was released with it"
            )
        self.line_break = last_id(self, "\n")

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return checkpoint.has(*HEAD)

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        ids = ids_of(self.tokenizer, f"{self.tokenizer.bos_token}{question}\n")
        spans = []
        for step in steps:
            for line in step.split("\n"):
                ids += [*ids_of(self.tokenizer, line), self.line_break] if line else [self.line_break]
            spans.append(range(len(ids) - 1, len(ids)))
        return MarkedText(ids, spans)

    def head(self, backbone: Any) -> Head:
        weight, bias = self.checkpoint.tensors(*HEAD)
        return classifier([(weight, bias)], backbone, [])

    def probabilities(self, raw: Sequence[float]) -> list[float]:
        return [probability_of_reward(each, SIGMOID) for each in raw]
