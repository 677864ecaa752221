"""A judge whose replies are scripted: a language-model policy without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import CotFormat, plain_template
from treestar.policy.formats.families import INSTRUCT
from treestar.types import ContextOverflow, Proposal, Sampling, State, Step, TokenLogProbability

__all__ = ["ScriptedJudgeModel", "spelled"]

Reply = Callable[[str, int], Step | str]
"""(prompt, index) -> the reply to it."""


class ScriptedJudgeModel(LanguageModelPolicy):
    """Replies by `reply`. Tokens: one for each word.

    Args:
        context: maximum number of characters of a prompt.
    """

    def __init__(self, reply: Reply, context: int = 10**9) -> None:
        super().__init__(CotFormat(plain_template, INSTRUCT), "scripted judge")
        self.reply = reply
        self.longest = context
        self.prompts: list[str] = []
        self.samplings: list[Sampling] = []
        self.closed = False

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        prompt = state.problem.question
        if len(prompt) > self.longest:
            raise ContextOverflow("too long")
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        steps = tuple(as_step(self.reply(prompt, index)) for index in range(n))
        return Proposal(steps, len(prompt.split()), sum(step.tokens for step in steps))

    async def close(self) -> None:
        self.closed = True


def as_step(reply: Step | str) -> Step:
    return reply if isinstance(reply, Step) else Step(reply, ending="answer", tokens=len(reply.split()))


def spelled(tokens: Sequence[tuple[str, float]]) -> Step:
    """A reply with the log-probabilities of its tokens."""
    pairs = tuple(TokenLogProbability(*each) for each in tokens)
    return Step("".join(pair.text for pair in pairs), tokens=len(pairs), token_log_probabilities=pairs)
