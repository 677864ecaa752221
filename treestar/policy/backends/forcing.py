"""Budget forcing (s1; Muennighoff et al. 2025, arXiv 2501.19393, section 3.1): how long a model thinks is decided here.

Where the model ends its thought too early, its end is taken back and "Wait" is written instead. Where the thought
reaches its limit, the token that ends it is written, then "Final Answer:", and the model answers. The end is that token
itself: its text in ordinary tokens would be a part of the thought.

Nothing is remembered between steps: the reply so far tells how long the thought is and how often it was made to
continue. A step ends where something was written for the model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from treestar.policy.backends.generated import Generated, measured
from treestar.policy.backends.prompt_tokens import encode
from treestar.policy.formats import StepFormat
from treestar.types import ContextOverflow, State, Step, ThinkingBudget, TreestarError

__all__ = ["CLOSING", "OPENING", "Forcing", "Generate", "forced_step", "forcing_for", "unread_step"]

OPENING, CLOSING = "<think>", "</think>"

CONTEXT_SHARE = 0.9
"""Share of the context that prompt and thought may fill; the answer needs the rest."""

PRE_OPENED = 3
"""Tokens at the end of the prompt among which the opening one is, if the chat template begins the thought."""

Generate = Callable[[list[int], int, tuple[str, ...], int], Awaitable[Generated]]
"""(prompt, maximum tokens, further stop strings, number of the part) -> one continuation, with its token ids."""


@dataclass(frozen=True, slots=True)
class Forcing:
    """A thinking budget in a model's own tokens."""

    budget: ThinkingBudget
    opening: int
    """The token that begins a thought."""
    closing: int
    """The token that ends it."""
    begin: tuple[int, ...]
    """What is written to begin a thought, if the chat template has not begun it."""
    final: tuple[int, ...]
    """What is written at the limit: the closing token, and the beginning of the answer."""
    wait: tuple[int, ...]
    """What is written in place of an end that comes too early."""
    context: float
    """Maximum tokens of prompt and reply; infinity if unknown."""

    def left(self, prompt: int, thought: int) -> float:
        """Tokens that a thought of `thought` tokens may still have; prompt and reply have `prompt` in all."""
        most = inf if self.budget.max_tokens is None else self.budget.max_tokens
        return min(most - thought, CONTEXT_SHARE * self.context - prompt)

    def must_go_on(self, thought: int, waits: int) -> bool:
        """Whether a thought of `thought` tokens, which was made to continue `waits` times, may not end yet."""
        most = inf if self.budget.max_tokens is None else self.budget.max_tokens
        is_short = thought < self.budget.min_tokens or waits < self.budget.waits
        return is_short and thought + len(self.wait) < most

    def thought(self, reply: Sequence[int]) -> int:
        """Tokens of the thought at the end of a reply that has not ended it."""
        return len(reply) - (reply.index(self.opening) + 1 if self.opening in reply else 0)


def forcing_for(budget: ThinkingBudget, tokenizer: Any, step_format: StepFormat, context: float, name: str) -> Forcing:
    """The budget in the tokens of the policy `name`.

    Raises:
        TreestarError: it does not think, or no single token ends its thoughts.
    """
    settings = "max_thinking_tokens, min_thinking_tokens and waits"
    if step_format.name != "thinking":
        raise TreestarError(
            f"a thinking budget is for models that think, and {name} writes in the format {step_format.name}: leave "
            f"{settings} out, or choose the step format thinking"
        )
    opening, closing = encode(tokenizer, OPENING), encode(tokenizer, CLOSING)
    if len(opening) != 1 or len(closing) != 1:
        raise TreestarError(
            f"a thinking budget needs a model with the tokens {OPENING} and {CLOSING}, which {name} does not have: "
            f"leave {settings} out"
        )
    return Forcing(
        budget,
        opening[0],
        closing[0],
        begin=(opening[0], *encode(tokenizer, "\n")),
        final=(closing[0], *encode(tokenizer, f"\n\n{budget.close}")),
        wait=tuple(encode(tokenizer, budget.wait)),
        context=context,
    )


async def forced_step(
    generate: Generate,
    forcing: Forcing,
    tokenizer: Any,
    step_format: StepFormat,
    state: State,
    prompt: Sequence[int],
    max_tokens: int,
) -> tuple[Generated, bool]:
    """The tokens of the next step of `state`, and whether they end with what was written for the model.

    Args:
        generate: continues token ids.
        prompt: what the model reads for `state`.
        max_tokens: maximum tokens to generate.

    Raises:
        ContextOverflow: `prompt` fills the context.
    """
    if len(prompt) >= forcing.context:
        raise ContextOverflow(f"{len(prompt)} tokens of prompt fill the context of {forcing.context:g}")
    _, *pieces = step_format.pieces(state)
    reply = [token for piece in pieces for token in piece.token_ids or encode(tokenizer, piece.text)]
    asked, first = list(prompt[: len(prompt) - len(reply)]), len(reply)
    waits = sum(step.text.endswith(forcing.budget.wait) for step in state.steps)
    tokens, log_probability, part = 0, 0.0, 0
    confidences: tuple[float, ...] = ()

    def left() -> float:
        return forcing.left(len(asked) + len(reply), forcing.thought(reply))

    def written(ended: bool) -> Generated:
        text = str(tokenizer.decode(reply[first:], skip_special_tokens=False))
        return Generated(text, ended, tokens, log_probability, tuple(reply[first:]), confidences)

    thinking = forcing.closing not in reply
    if thinking and forcing.opening not in [*asked[-PRE_OPENED:], *reply]:
        reply += forcing.begin
    if thinking and left() < 1:
        reply += forcing.final
        return written(ended=False), True
    while (room := min(max_tokens - tokens, forcing.context - len(asked) - len(reply))) >= 1:
        limit = int(min(room, left()) if thinking else room)
        further = await generate([*asked, *reply], limit, (CLOSING,) if thinking else (), part)
        part += 1
        tokens, log_probability = tokens + further.tokens, log_probability + further.log_probability
        reply += further.token_ids
        confidences += further.confidences
        closed = forcing.closing in further.token_ids
        if thinking and (closed or further.ended):
            end = reply.index(forcing.closing) if closed else len(reply)
            if forcing.must_go_on(forcing.thought(reply[:end]), waits):
                reply[end:] = forcing.wait
                return written(ended=False), True
            if not closed:
                reply += forcing.final
                return written(ended=False), True
            thinking = False
        elif thinking and left() < 1:
            reply += forcing.final
            return written(ended=False), True
        if further.ended or not step_format.goes_on(written(ended=False).text):
            return written(further.ended), False
    return written(ended=False), False


def unread_step(written: Generated) -> Step:
    """The step that ends with what was written for the model. It is not read, so that it keeps its end."""
    return measured(Step(written.text), written, written.token_ids)
