"""Continuations as backends give them, and the steps in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from treestar.policy.backends.prompt_tokens import first_tokens
from treestar.policy.formats import ENDINGS, StepFormat
from treestar.types import State, Step, TokenLogProbability

__all__ = ["Generated", "Generation", "measured", "step_in"]


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation."""

    text: str
    """Up to and including the stop string, or up to the end-of-sequence token, which is left out."""
    ended: bool
    """The model generated its end-of-sequence token."""
    tokens: int
    """New tokens, an end-of-sequence token included."""
    log_probability: float
    """Natural log of their probability at temperature 1, summed; <= 0."""
    token_ids: tuple[int, ...] = ()
    """The tokens of `text`."""
    confidences: tuple[float, ...] = ()
    """The confidence of each new token, if that was asked for (`Sampling.confidence_top`)."""
    end_token: int | None = None
    """The end-of-sequence token, if the model generated one."""
    token_log_probabilities: tuple[TokenLogProbability, ...] = ()
    """Of each new token, if that was asked for (`Sampling.token_log_probabilities`)."""

    def then(self, further: Generated) -> Generated:
        """This part of a continuation and the one after it."""
        return Generated(
            self.text + further.text,
            further.ended,
            self.tokens + further.tokens,
            self.log_probability + further.log_probability,
            self.token_ids + further.token_ids,
            self.confidences + further.confidences,
            further.end_token,
            self.token_log_probabilities + further.token_log_probabilities,
        )


@dataclass(frozen=True, slots=True)
class Generation:
    """The continuations of one prompt."""

    continuations: Sequence[Generated]
    tokens: int
    """New tokens computed for all of them together."""


def step_in(step_format: StepFormat, state: State, generated: Generated, tokenizer: Any = None) -> Step:
    """The next step of `state` in a continuation, with its own tokens where the tokenizer is at hand."""
    # A tag comes before the end of the sequence; a blank line may be within a formula.
    tags = () if step_format.keeps_tokens else ENDINGS.keys() & step_format.stop_strings(state)
    step = step_format.parse(state, generated.text, generated.ended and not any(tag in generated.text for tag in tags))
    if step.ending == "truncated":
        step = step_format.at_the_limit(state, step)
    keeps = step_format.keeps_tokens and tokenizer is not None
    return measured(step, generated, first_tokens(tokenizer, generated.token_ids, step.text) if keeps else ())


def measured(step: Step, generated: Generated, token_ids: tuple[int, ...] = ()) -> Step:
    """`step` with these tokens, and what is known of its continuation's."""
    return replace(
        step,
        tokens=generated.tokens,
        log_probability=generated.log_probability,
        token_ids=token_ids,
        confidences=generated.confidences,
        token_log_probabilities=generated.token_log_probabilities,
    )
