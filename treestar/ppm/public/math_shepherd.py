"""math-shepherd-mistral-7b-prm: `{question} Step 1: ... ки\\nStep 2: ... ки`, a causal model whose logits at `ки`
compare `+` with `-` (arXiv 2312.08935)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import MarkedText, TokenPairConvention, ids_of, last_id, marked_at
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.texts import numbered

__all__ = ["MathShepherd"]


class MathShepherd(TokenPairConvention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "math-shepherd"
    names = r"shepherd.*prm"
    aggregate = "min"  # the paper ranks solutions by their worst step
    mark = "ки"

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.mark_id = last_id(self, f" {self.mark}", before="x")
        # As the released code finds them, because `-` alone and after a space are different tokens.
        self.right, self.wrong = ids_of(self.tokenizer, "+ -")[-2:]

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        solution = "\n".join([f"{step} {self.mark}" for step in numbered(steps)])
        return marked_at(ids_of(self.tokenizer, f"{question} {solution}", special=True), self.mark_id)
