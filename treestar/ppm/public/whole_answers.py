"""Scorers of whole (partial) answers: generic reward models with one output, and any instruct model that is asked for
`Yes` or `No`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import probability_of_reward
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, TokenPairConvention, conversation, ids_of, rendered
from treestar.ppm.public.heads import linear_head
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.qwen_math_prm import LAYERS, SYSTEM, two_layer_head
from treestar.ppm.reading import Head
from treestar.types import TreestarError

__all__ = ["INSTRUCTION", "RewardModel", "YesNoVerifier"]

REWARD_SCALE = 10.0
"""Bradley-Terry rewards have no zero and no unit; good answers get 3 to 25 from public models. Within a few tens the
map tanh(reward / 10) still tells them apart."""

BETWEEN = "\n\n"

INSTRUCTION = "Is every step of this solution correct so far? Answer Yes or No."


class RewardModel(Convention):
    """Sequence classifiers of one label, such as Skywork-Reward-V2, and Qwen2.5-Math-RM-72B: the raw output at the last
    token of the conversation, without a system message (Qwen's has one)."""

    kind: ClassVar[ScorerKind] = "reward-model"
    judges_whole: ClassVar[bool] = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.is_qwen = is_qwen_math_rm(checkpoint)

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        is_classifier = checkpoint.architecture.endswith("ForSequenceClassification") and checkpoint.labels == 1
        return (is_classifier and checkpoint.has("score.weight")) or is_qwen_math_rm(checkpoint)

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        messages = conversation(question, BETWEEN.join(steps), SYSTEM if self.is_qwen else None)
        return at_end(rendered(self, messages))

    def head(self, backbone: Any) -> Head:
        if self.is_qwen:
            return two_layer_head(self.checkpoint, backbone, [])
        outputs = self.checkpoint.tensor("score.weight").shape[0]
        if outputs != 1:
            raise TreestarError(
                f"scorer {self.checkpoint.name!r} has {outputs} outputs, and a model of the kind {self.kind} "
                "has one: give another kind with --scorer-kind"
            )
        return linear_head(self.checkpoint, "score", backbone, [])

    def probabilities(self, raw: Sequence[float]) -> list[float]:
        return [probability_of_reward(each, REWARD_SCALE) for each in raw]


class YesNoVerifier(TokenPairConvention):
    """An instruct model as a verifier: the probability of `Yes` against `No` as the first token of its reply to the
    question, the solution so far, and `INSTRUCTION`. Used only if it is asked for."""

    kind: ClassVar[ScorerKind] = "yes-no"
    judges_whole: ClassVar[bool] = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.right, self.wrong = (ids_of(self.tokenizer, word)[0] for word in ("Yes", "No"))
        if self.right == self.wrong:
            raise self.no_token("Yes")

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        content = f"Problem:\n{question}\n\nSolution so far:\n{BETWEEN.join(steps)}\n\n{INSTRUCTION}"
        return at_end(rendered(self, [{"role": "user", "content": content}], reply=True))


def at_end(ids: list[int]) -> MarkedText:
    """One score at the last token."""
    return MarkedText(ids, [range(len(ids) - 1, len(ids))])


def is_qwen_math_rm(checkpoint: Checkpoint) -> bool:
    return checkpoint.architecture == "Qwen2ForRewardModel" and checkpoint.has(*LAYERS)
