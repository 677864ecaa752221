"""A judge as a scorer: it reads a state's last step, given those before it, and says how probably it is right.

The judge is a policy's model and runs on a policy's backend, so its replies to all running searches are generated
together. Its tokens are counted apart from the policy's, and its reply is kept with the score.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from math import exp
from typing import NamedTuple

from treestar.concurrency import gather_all
from treestar.judge.prompt import judge_prompt, verdict_of, verdict_place
from treestar.judge.reading import question_and_chunks
from treestar.judge.reply_format import ReplyFormat
from treestar.judge.settings import JudgeSettings
from treestar.policy import LanguageModelPolicy, OpenAIPolicy
from treestar.policy.backends.openai_probe import named_way
from treestar.policy.formats.templates import plain_template, template_of
from treestar.ppm.public.aggregate import Aggregate, aggregated
from treestar.ppm.public.texts import special_texts
from treestar.types import (
    Closable,
    ContextOverflow,
    Problem,
    Proposal,
    Reporting,
    Sampling,
    Scores,
    State,
    Step,
)

__all__ = ["JudgeScorer", "Judgment", "judgment_of", "replying"]

REPLY_TOKENS, THINKING_REPLY_TOKENS = 1024, 8192

JUDGMENTS_REMEMBERED = 20_000


class Judgment(NamedTuple):
    """What a judge says of one chunk."""

    probability: float
    """That the chunk is right, in [0, 1]; .5 where there is no clear verdict."""
    analysis: str
    """A reply that agrees with it."""
    prompt_tokens: int = 0
    generated_tokens: int = 0


class JudgeScorer:
    """Implements `treestar.types.Scorer`. A state's value is 2p - 1 of the probability p that its last step is right.

    A blank step is not judged: the state has its parent's value, and 0 without any step. Where a prompt exceeds the
    context, the earliest steps are left out of it.

    Args:
        policy: the judge's model.
        settings: how it is asked; `analysis` None means yes.
        aggregate: if given, all steps of a state are judged and their probabilities combined, as for public reward
            models, and the value is that of the path.
    """

    def __init__(
        self, policy: LanguageModelPolicy, settings: JudgeSettings | None = None, aggregate: Aggregate | None = None
    ) -> None:
        settings = settings or JudgeSettings()
        self.policy = policy
        self.writer = replying(policy)
        self.votes, self.analysis, self.aggregate = settings.votes, settings.analysis is not False, aggregate
        self.sampling = judge_sampling(policy, settings)
        parts = ["judge", *([] if self.analysis else ["no analysis"]), f"{self.votes} verdicts" * (self.votes > 1)]
        # Results are resumed by this name, and depend on all of these.
        self.name = f"{policy.name} ({', '.join(filter(None, [*parts, aggregate]))})"
        tokenizer = getattr(policy, "tokenizer", None)
        self.foreign = () if tokenizer is None else special_texts(tokenizer)
        self.known: OrderedDict[bytes, Judgment] = OrderedDict()
        """By the digest of a prompt with its whole history; least recently used first."""

    async def score(self, states: Sequence[State]) -> Scores:
        """See `Scorer.score`. A judgment of a state's last step is charged to every search that asks for it, although
        it is made once: what a search costs must not depend on those before it.

        Raises:
            TreestarError: the backend failed.
        """
        cleaned = [question_and_chunks(state, self.policy.format, self.foreign) for state in states]
        wanted = {
            self.key(question, chunks[:count]): (question, chunks[:count])
            for question, chunks in cleaned
            for count in self.counts(chunks)
        }
        fresh = [key for key in wanted if key not in self.known]
        judged = await gather_all([self.judge(*wanted[key]) for key in fresh])
        found = {key: self.known[key] for key in wanted if key in self.known} | dict(zip(fresh, judged, strict=True))
        self.remember(found)
        of_states = [
            [found[self.key(question, chunks[:i])] for i in self.counts(chunks)] for question, chunks in cleaned
        ]
        # Earlier steps were charged when they were the last ones.
        charged = {*fresh, *(self.key(question, chunks) for question, chunks in cleaned if chunks)}
        return Scores(
            tuple(aggregated([each.probability for each in own], self.aggregate or "last") for own in of_states),
            sum(found[key].prompt_tokens for key in charged),
            self.aggregate is not None,
            sum(found[key].generated_tokens for key in charged),
            tuple(own[-1].analysis if own else "" for own in of_states),
        )

    async def judge(self, question: str, chunks: Sequence[str]) -> Judgment:
        """The judgment of the last chunk, given those before it."""
        *history, chunk = chunks
        while True:
            prompt = judge_prompt(question, history, chunk, self.analysis)
            try:
                proposal = await self.writer.propose(State(Problem(prompt)), self.votes, self.sampling, seed_of(prompt))
            except ContextOverflow:
                if not history:
                    message = f"some steps exceed the context of {self.name}: they are judged neither right nor wrong"
                    warnings.warn(message, RuntimeWarning, stacklevel=2)
                    return Judgment(0.5, "")
                history = history[(len(history) + 1) // 2 :]
                continue
            return judgment_of(proposal)

    def counts(self, chunks: Sequence[str]) -> range:
        """For each judgment that a state's value depends on, the number of chunks up to the judged one."""
        return range(len(chunks) if self.aggregate is None else 1, len(chunks) + 1) if chunks else range(0)

    def key(self, question: str, chunks: Sequence[str]) -> bytes:
        return digest(judge_prompt(question, chunks[:-1], chunks[-1], self.analysis))

    def remember(self, found: Mapping[bytes, Judgment]) -> None:
        """Keep judgments, at most JUDGMENTS_REMEMBERED."""
        for key, judgment in found.items():
            self.known[key] = judgment
            self.known.move_to_end(key)
        while len(self.known) > JUDGMENTS_REMEMBERED:
            self.known.popitem(last=False)

    def report(self) -> str:
        """What the judge's backend has to report, or ""."""
        said = self.policy.report() if isinstance(self.policy, Reporting) else ""
        return f"judge: {said}" if said else ""

    async def close(self) -> None:
        """Close the judge's model."""
        if isinstance(self.policy, Closable):
            await self.policy.close()


def replying(policy: LanguageModelPolicy) -> LanguageModelPolicy:
    """The policy, writing whole replies to single messages in its own chat template."""
    tokenizer = getattr(policy, "tokenizer", None)
    template = plain_template if tokenizer is None else template_of(tokenizer, thinks(policy))
    writer = policy.writing(ReplyFormat(template))
    if isinstance(writer, OpenAIPolicy):
        # A question and its reply are what /chat/completions is for: nothing has to be found out.
        writer.way = named_way("continuing", writer.format, writer.dialect, None)
    return writer


def thinks(policy: LanguageModelPolicy) -> bool:
    return policy.format.name == "thinking"


def judge_sampling(policy: LanguageModelPolicy, settings: JudgeSettings) -> Sampling:
    """Greedy for one verdict, except from models that think, which repeat themselves then; else as recommended."""
    most = settings.tokens or (THINKING_REPLY_TOKENS if thinks(policy) else REPLY_TOKENS)
    limit = min(most, getattr(policy, "context", 2 * most) // 2)
    if settings.votes == 1 and not thinks(policy):
        return Sampling(0.0, 1.0, limit, token_log_probabilities=True)
    own = policy.recommended
    return Sampling(
        own.temperature,
        own.top_p,
        limit,
        top_k=own.top_k,
        min_p=own.min_p,
        token_log_probabilities=settings.votes == 1,
    )


def judgment_of(proposal: Proposal) -> Judgment:
    """The judgment in a judge's replies to one prompt."""
    steps = proposal.steps
    if len(steps) == 1:
        probability = verdict_probability(steps[0])
    else:
        probability = sum(chance(verdict_of(step.text)) for step in steps) / len(steps)
    agreeing = next((step for step in steps if verdict_of(step.text) is (probability >= 0.5)), steps[0])
    return Judgment(probability, agreeing.text.strip(), proposal.prompt_tokens, proposal.generated_tokens)


def chance(verdict: bool | None) -> float:
    """A verdict as a probability that the chunk is right."""
    return 0.5 if verdict is None else float(verdict)


def verdict_probability(step: Step) -> float:
    """The probability that a reply gives to Positive: that of its verdict's first token, at temperature 1, or the rest
    of 1 after a Negative. Where tokens have no log-probabilities, the verdict itself counts."""
    verdict = verdict_of(step.text)
    if verdict is None:
        return 0.5
    tokens = step.token_log_probabilities
    place = verdict_place("".join(token.text for token in tokens))
    if place is None:
        return chance(verdict)
    ends = accumulate(len(token.text) for token in tokens)
    token = next(token for token, end in zip(tokens, ends, strict=True) if end > place)
    certainty = exp(token.log_probability)
    return certainty if verdict else 1.0 - certainty


def digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def seed_of(prompt: str) -> int:
    """A seed that depends only on the prompt, so that a state's score does not depend on its batch."""
    return int.from_bytes(digest(prompt)[:8], "big") >> 1
