"""Converts a state to the tokens that the process preference model reads, and the positions of its scores.

Invariant: the tokens of a state are a prefix of those of every state that continues it, and so are the step ends.
Each step is tokenized separately, so a state has the same score read alone or within a longer trajectory.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from treestar.policy.formats import ANSWER, StepFormat, missing_bos
from treestar.types import Execution, Problem, State, Step, TreestarError

__all__ = ["Encoded", "check_step_ends", "encode", "fitting_part", "segments"]


SEGMENTS_REMEMBERED = 50_000
"""Number of segments whose tokens are cached: all states of a tree begin with the same segments."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A state as the model reads it."""

    ids: list[int]
    ends: list[int]
    """ends[k] is the index in `ids` of the last token of the state's first k steps; ends[0]: of the problem."""

    def __len__(self) -> int:
        return len(self.ids)


def encode(tokenizer: Any, step_format: StepFormat, state: State) -> Encoded:
    """The tokens of `state`, and its step ends.

    A step without tokens (a blank paragraph) has the same end as the previous step.

    Raises:
        TreestarError: a step changes the text of the steps before it (see `segments`).
    """
    ids: list[int] = []
    ends: list[int] = []
    for segment in segments(step_format, state):
        ids += tokens_of(tokenizer, segment)
        if not ends:
            ids = missing_bos(tokenizer, ids) + ids
        ends.append(len(ids) - 1)
    return Encoded(ids, ends)


@lru_cache(SEGMENTS_REMEMBERED)
def tokens_of(tokenizer: Any, segment: str) -> tuple[int, ...]:
    """The tokens of one segment."""
    return tuple(tokenizer(segment, add_special_tokens=False, verbose=False)["input_ids"])


def fitting_part(encoded: Encoded, context: int, name: str) -> Encoded:
    """A state. If its tokens exceed the context of the PPM `name`, the longest part that fits: up to the last step end
    within the context or, if the problem is longer than the context, up to the context's end.

    So such a state scores as its ancestor and search continues; the policy, whose context is rarely longer, ends the
    branch.
    """
    if len(encoded) <= context:
        return encoded
    message = f"some states exceed the {context} tokens of {name}'s context: the part that fits is scored"
    warnings.warn(message, RuntimeWarning, stacklevel=2)
    ends = [end for end in encoded.ends if end < context] or [context - 1]
    return Encoded(encoded.ids[: ends[-1] + 1], ends)


def segments(step_format: StepFormat, state: State) -> list[str]:
    """The text of the problem, and the text that each step adds to it.

    Raises:
        TreestarError: a step changes the text of the steps before it, so that scores could not be kept.
    """
    texts = [scored_text(step_format, state, depth) for depth in range(len(state.steps) + 1)]
    added = texts[:1]
    for depth in range(1, len(texts)):
        shorter, longer = texts[depth - 1 : depth + 1]
        if not longer.startswith(shorter):
            raise TreestarError(
                f"step {depth} of problem {state.problem.id or state.problem.question[:60]!r} changes the text of the "
                f"steps before it in the {step_format.name} format: a process preference model needs a step format in "
                "which every step only adds text"
            )
        added.append(longer[len(shorter) :])
    return added


def scored_text(step_format: StepFormat, state: State, depth: int) -> str:
    """The policy's prompt after `depth` steps, up to the tag that ends the last of them.

    The line break after the tag, and the `<answer>` after an output, open the next step and are read with it. The
    released rStar-Math models are trained and scored at the tag, and cutting the text there does not change its tokens.
    """
    return step_format.prompt(state.prefix(depth)).rstrip().removesuffix(ANSWER).rstrip()


def check_step_ends(tokenizer: Any, step_format: StepFormat, name: str) -> None:
    """Try the format and the tokenizer of the model `name` on two steps.

    Raises:
        TreestarError: the ends of steps cannot be distinguished from the text before them.
    """
    steps = (Step("x = 1", "x = 1"), Step("print(x)", "print(x)", "code"))
    encoded = encode(tokenizer, step_format, State(Problem("1?"), steps, (Execution(), Execution("1"))))
    ends_are_places = 0 <= encoded.ends[0] < encoded.ends[1] < encoded.ends[2]
    unknown = tokenizer.unk_token_id
    if not ends_are_places or (unknown is not None and unknown in [encoded.ids[end] for end in encoded.ends[1:]]):
        raise TreestarError(
            f"{name!r} has no step ends: its tokenizer cannot write the tags of the {step_format.name} format, so "
            "steps do not end in a token at which to score them. Use a tokenizer that has a token for every text "
            "(byte-level BPE, byte fallback), or add the tags <end_of_step>, <end_of_code>, <end_of_answer>, "
            "<end_of_output> to it"
        )
