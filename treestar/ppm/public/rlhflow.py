"""RLHFlow's Llama3.1-8B PRMs and ORMs: each step is a user's turn that the assistant answers with `+` or `-`.

The first turn is `{question} {first step}`. All earlier answers are `+`, also after steps that the model thinks wrong:
so does the official code, and so a state's tokens are a prefix of its children's (RLHF-Reward-Modeling,
math-rm/prm_evaluate.py and orm_evaluate.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import MarkedText, Message, TokenPairConvention, ids_of, rendered
from treestar.ppm.public.kinds import ScorerKind

__all__ = ["RLHFlowORM", "RLHFlowPRM"]

RIGHT, WRONG = "+", "-"


class RLHFlowPRM(TokenPairConvention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "rlhflow-prm"
    names = r"rlhflow.*prm|prm-(?:deepseek|mistral)-data"
    aggregate: Aggregate = "mean"  # as in the official evaluation

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.right, self.wrong = (ids_of(self.tokenizer, sign)[-1] for sign in (RIGHT, WRONG))

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        turns = [f"{question} {steps[0]}", *steps[1:]]
        ids, twin = (rendered(self, answered(turns, sign)) for sign in (RIGHT, WRONG))
        # The two differ exactly in the answers; each is predicted at the token before it.
        answers = [place for place, pair in enumerate(zip(ids, twin, strict=False)) if pair[0] != pair[1]]
        return MarkedText(ids[: answers[-1]] if answers else [], [range(place - 1, place) for place in answers])


class RLHFlowORM(RLHFlowPRM):
    """The outcome reward models: one turn with the question and the whole solution."""

    kind: ClassVar[ScorerKind] = "rlhflow-orm"
    names = r"rlhflow.*orm|orm-(?:deepseek|mistral)-data"
    aggregate = "last"  # there is only one score
    judges_whole: ClassVar[bool] = True

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        return super().encode(question, ["\n\n".join(steps)])


def answered(turns: Sequence[str], answer: str) -> list[Message]:
    """A conversation in which every turn gets the same answer."""
    return [
        message
        for turn in turns
        for message in ({"role": "user", "content": turn}, {"role": "assistant", "content": answer})
    ]
