"""PRMs trained with TRL's `PRMTrainer`, and PURE's: token classifiers of two labels, read at a line break.

They differ in what comes before the first step, and in how a step ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, ids_of, last_id, rendered
from treestar.ppm.public.heads import linear_head
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.qwen_math_prm import SYSTEM
from treestar.ppm.reading import Head

__all__ = ["TRLPRM", "PurePRM"]

PARAGRAPH = "\n\n"


class TRLPRM(Convention):
    """Models such as trl-lib/Qwen2-0.5B-Reward-Math-Sheperd: [bos], question, and for each step its tokens and those of
    the line break, all tokenized apart (`tokenize_row` in TRL's prm_trainer.py)."""

    kind: ClassVar[ScorerKind] = "trl-prm"
    # TRL names none. Most of these models learned from Math-Shepherd's data, where a step's label says whether
    # continuations from it came out right: the last step's says most about the whole.
    aggregate: Aggregate = "last"

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.line_break = last_id(self, "\n")

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return is_two_label_classifier(checkpoint) and not is_pure(checkpoint)

    def before(self, question: str) -> list[int]:
        """The tokens before the first step."""
        first = self.tokenizer.bos_token_id
        return [*([] if first is None else [first]), *ids_of(self.tokenizer, question)]

    def of_step(self, step: str) -> list[int]:
        """The tokens of a step without the one at which it is scored."""
        return [*ids_of(self.tokenizer, step), *ids_of(self.tokenizer, "\n")[:-1]]

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        ids = self.before(question)
        spans = []
        for step in steps:
            ids += [*self.of_step(step), self.line_break]
            spans.append(range(len(ids) - 1, len(ids)))
        return MarkedText(ids, spans)

    def head(self, backbone: Any) -> Head:
        return linear_head(self.checkpoint, "score", backbone, [1])


class PurePRM(TRLPRM):
    """PURE-PRM-7B: the policy's prompt, then the policy's tokens of each step, of which the one that ends in a blank
    line is replaced by the token of a line break (openrlhf's experience_maker.py in PURE's repository).

    Its reward is p(right) - p(wrong), which is 2p - 1.
    """

    kind: ClassVar[ScorerKind] = "pure-prm"
    # The paper's credit assignment weighs steps by a softmax of -reward / 0.1, which is close to the minimum.
    aggregate = "min"

    @classmethod
    def recognizes(cls, checkpoint: Checkpoint) -> bool:
        return is_two_label_classifier(checkpoint) and is_pure(checkpoint)

    def before(self, question: str) -> list[int]:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        return rendered(self, messages, reply=True)

    def of_step(self, step: str) -> list[int]:
        ids = ids_of(self.tokenizer, step + PARAGRAPH)
        # Its last token may hold the end of the step too (".\n\n"), or be two.
        while ids and self.tokenizer.decode(ids[-1:]).endswith("\n"):
            ids.pop()
        return ids


def is_two_label_classifier(checkpoint: Checkpoint) -> bool:
    is_classifier = checkpoint.architecture.endswith("ForTokenClassification") and checkpoint.labels == 2
    return is_classifier and checkpoint.has("score.weight")


def is_pure(checkpoint: Checkpoint) -> bool:
    return re.search(r"\bpure\b|jinachris", checkpoint.short_name) is not None
