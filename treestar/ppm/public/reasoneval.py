"""ReasonEval-7B and -34B (arXiv 2404.05692): three classes (wrong, neutral, right) at the end of each step.

Steps are separated by the pad token only for tokenizing: it is removed again. A step's validity is the probability of
neutral or right. The 7B model's tokenizer begins a text with its pad token, which the released code also removes, and
then puts back without moving the positions: each is read one token before the step's last. Its published scores are
these (ReasonEval, codes/examples.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, ids_of
from treestar.ppm.public.heads import linear_head
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.reading import Head

__all__ = ["ReasonEval"]

NEUTRAL_OR_RIGHT = (1, 2)


class ReasonEval(Convention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "reasoneval"
    aggregate = "min"  # the paper's validity of a solution is that of its worst step

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        if self.tokenizer.pad_token is None:
            raise self.no_token("<pad>")

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return checkpoint.has("score_head.weight")

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        separator, pad = self.tokenizer.pad_token, self.tokenizer.pad_token_id
        prompt = f"Question:\n{question}\nAnswer:\nLet's think step by step.\n"
        text = prompt + separator + "".join([step + separator for step in steps])
        tokens = ids_of(self.tokenizer, text, special=True)
        ids: list[int] = []
        ends = []
        for token in tokens:
            if token == pad:
                ends.append(len(ids) - 1)
            else:
                ids.append(token)
        if tokens[0] == pad:
            return MarkedText([pad, *ids], [range(end, end + 1) for end in ends[2:]])
        return MarkedText(ids, [range(end, end + 1) for end in ends[1:]])

    def head(self, backbone: Any) -> Head:
        return linear_head(self.checkpoint, "score_head", backbone, NEUTRAL_OR_RIGHT)
