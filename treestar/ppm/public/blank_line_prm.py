"""PRMs whose mark is a run of blank lines: VersaPRM, Llama-PRM800K and Qwen-PRM800K (four line breaks), and openr's
Math-PSA (five). Causal models whose logits at the mark compare `+` with `-`.

In the tokenizers of Llama 3 and Qwen such a run, with the space before it, is one token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import MarkedText, TokenPairConvention, ids_of, last_id, marked_at
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.texts import numbered

__all__ = ["MathPSA", "VersaPRM"]

BLANK_LINES = re.compile(r"[^\S\n]*\n(?:[^\S\n]*\n){2,}[^\S\n]*")
"""More than one blank line, with the spaces around them."""


class VersaPRM(TokenPairConvention):
    """`{question} \\n\\n`, then each step followed by ` \\n\\n\\n\\n` (VersaPRM's get_rewards_reasoning_step.py)."""

    kind: ClassVar[ScorerKind] = "versa-prm"
    names = r"versaprm|(?:llama|qwen)-prm800k"
    # Its steps are labeled right or wrong one by one; the paper reports last, mean and minimum.
    aggregate: Aggregate = "min"
    step_end: ClassVar[str] = " \n\n\n\n"
    signs: ClassVar[tuple[str, str]] = ("+", "-")

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.mark_id = last_id(self, self.step_end, before="x")
        self.right, self.wrong = (ids_of(self.tokenizer, sign)[-1] for sign in self.signs)

    def cleaned(self, text: str) -> str:
        return BLANK_LINES.sub("\n\n", super().cleaned(text)).strip()

    def written(self, question: str, steps: Sequence[str]) -> str:
        """The whole text."""
        return f"{question} \n\n" + "".join([step + self.step_end for step in steps])

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        return marked_at(ids_of(self.tokenizer, self.written(question, steps), special=True), self.mark_id)


class MathPSA(VersaPRM):
    """openr's Math-PSA, merged into its base: `{question} Step 1: {step} \\n\\n\\n\\n\\n Step 2: ...`, with each step
    on one line, and ` +` and ` -` as signs."""

    kind: ClassVar[ScorerKind] = "math-psa"
    names = r"math-?psa"
    # Its labels are the outcomes of continuations, so the last step's says most about the whole.
    aggregate = "last"
    step_end: ClassVar[str] = " \n\n\n\n\n"
    signs: ClassVar[tuple[str, str]] = (" +", " -")

    def written(self, question: str, steps: Sequence[str]) -> str:
        lines = numbered([" ".join(step.split("\n")) for step in steps])
        return f"{question} " + "".join([f"{line}{self.step_end} " for line in lines])
