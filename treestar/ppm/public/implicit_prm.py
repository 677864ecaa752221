"""Implicit PRMs such as EurusPRM-Stage1 and -Stage2 (arXiv 2412.01981): two causal models, the PRM and the reference
that it was trained from.

The reward of a prefix is coefficient * log(p_PRM / p_reference) of the reply's tokens up to there, so a step's reward
is the running sum at its end. Positions are those of the model card's code, which renders the conversation of the first
k steps: with Qwen's tokenizer an inner step's sum includes the first two tokens of the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, ClassVar

from treestar.ppm.public.aggregate import probability_of_reward
from treestar.ppm.public.checkpoint import Checkpoint
from treestar.ppm.public.convention import Convention, MarkedText, conversation, ids_of, rendered
from treestar.ppm.public.heads import log_probability
from treestar.ppm.public.kinds import ScorerKind
from treestar.ppm.public.texts import numbered
from treestar.ppm.reading import Head

__all__ = ["REFERENCE", "ImplicitPRM"]

REFERENCE = "Qwen/Qwen2.5-Math-7B-Instruct"
"""The reference model of EurusPRM; another one is given as `MODEL?reference=OTHER`."""

COEFFICIENT = 0.001
"""As on EurusPRM's model card. It only scales the rewards."""

SCALE = 0.04
"""Rewards with this coefficient are some hundredths. The scale spreads them over [0, 1], as the sigmoid does with a
coefficient of 0.05; the order of states does not depend on it."""

BETWEEN = "\n\n"

PREFIXES_REMEMBERED = 20_000
"""Number of prefixes whose lengths in tokens are cached."""


class ImplicitPRM(Convention):
    """See the module."""

    kind: ClassVar[ScorerKind] = "implicit-prm"
    names = r"eurus-?prm|implicit-?prm"
    aggregate = "min"  # the official evaluation ranks solutions by their lowest reward
    reads_next: ClassVar[bool] = True

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        # Siblings begin with the same steps.
        self.length = lru_cache(PREFIXES_REMEMBERED)(lambda question, reply: len(self.stripped(question, reply)))

    def encode(self, question: str, steps: Sequence[str]) -> MarkedText:
        written = numbered(steps)
        replies = [BETWEEN.join(written[:count]) for count in range(len(written) + 1)]
        ids = self.stripped(question, replies[-1])
        between = len(ids_of(self.tokenizer, BETWEEN))
        lengths = [self.length(question, reply) for reply in replies[:-1]]
        # The position that predicts token t is t - 1. Sums begin with the line break that opens the reply, and end with
        # the last token of the rendered conversation.
        ends = [lengths[0] - 4, *(length + between - 2 for length in lengths[1:]), len(ids) - 2]
        ends = list(accumulate(ends, lambda before, end: max(before, min(end, len(ids) - 2))))
        return MarkedText(ids, [range(before + 1, end + 1) for before, end in pairwise(ends)])

    def stripped(self, question: str, reply: str) -> list[int]:
        """The tokens of the conversation without the white space after its last mark."""
        ids = rendered(self, conversation(question, reply))
        while self.tokenizer.decode(ids[-1:]).isspace():
            ids.pop()
        return ids

    def head(self, backbone: Any) -> Head:
        return log_probability(self.checkpoint, backbone)

    def probabilities(self, raw: Sequence[float]) -> list[float]:
        return [probability_of_reward(COEFFICIENT * each, SCALE) for each in accumulate(raw)]
