"""A teacher's trajectories as the tokens of first, mid and final steps.

With S steps, P_s the paragraphs found by step s and r_s its sentence (StepER, section 3):

    first   question, P_1                      -> r_1              (where S > 1)
    mid     question, P_1..P_s, r_1..r_(s-1)   -> r_s              (1 < s < S)
    final   question, P_1..P_S                 -> r_1 .. r_S       (the last of which states the answer)

Invariant: what a row reads is exactly what the policy reads at that step of a search; a final row reads what it reads
at the last step, without the reasoning, which it learns to write as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from treestar.policy.formats import RetrievalFormat, StepFormat
from treestar.training.distill.config import STEP_KINDS, StepKind
from treestar.training.sft.data import SFTData, TokenRow, reply_row
from treestar.types import State, TreestarError

__all__ = ["StepText", "prepare_steps", "step_texts"]


@dataclass(frozen=True, slots=True)
class StepText:
    """One row as text."""

    kind: StepKind
    read: str
    written: str
    ends: bool
    """Whether the policy ends its reply here."""


def step_texts(step_format: RetrievalFormat, trajectory: State, kinds: Collection[StepKind]) -> list[StepText]:
    """The rows of a finished trajectory, of the given kinds."""
    steps = trajectory.steps
    rows = []
    for place, step in enumerate(steps):
        before = trajectory.prefix(place)
        if place == len(steps) - 1:
            reply = step_format.reply(trajectory)
            rows.append(StepText("final", step_format.opening(before), reply, ends=True))
        else:
            rows.append(StepText("mid" if place else "first", step_format.prompt(before), step.text, ends=False))
    return [row for row in rows if row.kind in kinds]


def prepare_steps(
    trajectories: Iterable[State], tokenizer: Any, step_format: StepFormat, max_length: int, kinds: Collection[StepKind]
) -> SFTData:
    """The rows of all trajectories as tokens; one with a row of more than `max_length` is left out and counted.

    Raises:
        TreestarError: the student has another step format, or nothing is left to train on.
    """
    if not isinstance(step_format, RetrievalFormat):
        raise TreestarError(f"stepwise distillation needs the step format retrieval, not {step_format.name}")
    found: list[TokenRow] = []
    used = too_long = 0
    for trajectory in trajectories:
        rows = [
            reply_row(tokenizer, text.read, text.written, text.ends, STEP_KINDS.index(text.kind))
            for text in step_texts(step_format, trajectory, kinds)
        ]
        if any(len(row.ids) > max_length for row in rows):
            too_long += 1
            continue
        used += bool(rows)
        found += rows
    if not found:
        left_out = f": all {too_long:,} trajectories exceed {max_length:,} tokens" if too_long else ""
        raise TreestarError(f"no training data of the steps {', '.join(kinds)}{left_out}")
    return SFTData(found, used, too_long)
