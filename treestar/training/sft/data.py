"""Converts finished trajectories to the tokens that a policy is fine-tuned on: its input at inference, with a loss on
its output.

Invariant: every token with a loss follows exactly the tokens that the policy reads before it at that step.
Between two steps the policy's own text is tokenized again, as part of the next prompt, so the same is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from treestar.policy.formats import PARAGRAPH, StepFormat, missing_bos, same_steps
from treestar.types import State, TreestarError

__all__ = [
    "NO_LOSS",
    "SFTData",
    "SFTRow",
    "TokenRow",
    "prepare",
    "reply_row",
    "token_rows",
    "tokenize",
    "tokenize_prompt",
]

NO_LOSS = -100
"""The label of a token without a loss: the policy only reads it."""


@dataclass(frozen=True, slots=True)
class SFTRow:
    """A trajectory to train on."""

    problem_id: str
    trajectory: State
    """Finished and right. Prompts and the policy's own text both follow from it and the step format."""
    copies: int = 1
    """How often it is in an epoch."""
    step_format: str | None = None
    """The name of the format in which it was written; None: unknown."""

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"SFTRow.copies must be 1 or more, not {self.copies!r}")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A sequence of tokens to train on."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Same length as the tokens: the token if the policy wrote it, otherwise NO_LOSS."""
    task: int = field(default=0, repr=False)
    """Which of a training's tasks its loss belongs to, where it has several. Not in the fingerprint, so that older runs
    can be resumed."""


@dataclass(frozen=True, slots=True)
class SFTData:
    """The data of one epoch."""

    rows: Sequence[TokenRow]
    """Copies of a row are next to each other."""
    trajectories: int
    too_long: int
    """Number of trajectories left out because they exceed the maximum length."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal rows."""
        return blake2b(repr(self.rows).encode(), digest_size=8).hexdigest()

    def __str__(self) -> str:
        found = self.to_json()
        too_long = f"; left out {self.too_long:,} that are too long" if self.too_long else ""
        return (
            f"training on {self.trajectories:,} trajectories in {found['rows']:,} rows, {found['tokens']:,} tokens, "
            f"{found['tokens_with_loss']:,} of them with a loss{too_long}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "trajectories": self.trajectories,
            "too_long": self.too_long,
            "rows": len(self.rows),
            "tokens": sum(len(row.ids) for row in self.rows),
            "tokens_with_loss": sum(label != NO_LOSS for row in self.rows for label in row.labels),
            "longest": max((len(row.ids) for row in self.rows), default=0),
        }


def prepare(rows: Iterable[SFTRow], tokenizer: Any, step_format: StepFormat, max_length: int) -> SFTData:
    """All rows as tokens, except those of more than `max_length`.

    Raises:
        TreestarError: a trajectory is not finished or in another step format, or nothing is left to train on.
    """
    found: list[TokenRow] = []
    trajectories = too_long = 0
    for row in rows:
        of_row = format_of(step_format, row)
        check_finished(of_row, row)
        made = token_rows(tokenizer, of_row, row.trajectory)
        if max(len(each.ids) for each in made) > max_length:
            too_long += 1
            continue
        trajectories += 1
        found += [each for each in made for _ in range(row.copies)]
    if not found:
        left_out = f": all {too_long:,} trajectories exceed {max_length:,} tokens" if too_long else ""
        raise TreestarError(f"no training data{left_out}")
    return SFTData(found, trajectories, too_long)


def format_of(step_format: StepFormat, row: SFTRow) -> StepFormat:
    """The format in which a policy that writes `step_format` solves the problem of `row`: programs may have another."""
    return (step_format.code_format if row.trajectory.problem.kind == "code" else None) or step_format


def check_finished(step_format: StepFormat, row: SFTRow) -> None:
    if row.step_format is not None and not same_steps(row.step_format, step_format.name):
        raise TreestarError(
            f"the trajectory of problem {row.problem_id!r} was written in the step format {row.step_format}, but the "
            f"policy would learn to write {step_format.name}: train with the step format {row.step_format}, or start "
            "from a policy that writes it"
        )
    steps, executions = row.trajectory.steps, row.trajectory.executions
    is_prose = any(step.text.endswith(PARAGRAPH) for step in steps)
    has_tags = any(step.ending == "code" for step in steps)
    if has_tags if step_format.keeps_tokens else is_prose:
        raise TreestarError(
            f"the trajectory of problem {row.problem_id!r} was not written in the {step_format.name} format: train "
            "with the format in which it was searched (step_format)"
        )
    if not steps or not step_format.final_answer(steps[-1], executions[-1]):
        raise TreestarError(
            f"the trajectory of problem {row.problem_id!r} does not end in an answer in the {step_format.name} format, "
            "so it cannot be used for training"
        )


def token_rows(tokenizer: Any, step_format: StepFormat, trajectory: State) -> list[TokenRow]:
    """The whole trajectory in one row, with the end-of-sequence token if the tokenizer has one.

    A step whose prompt has other tokens than the same text within the trajectory (its first characters merge with the
    prompt's last) gets a separate row, and no loss in the common one. A step without text is not learned.
    """
    steps = trajectory.steps
    prompts = [step_format.prompt(trajectory.prefix(depth)) for depth in range(len(steps))]
    written = [step_format.written(step) for step in steps]
    if not step_format.ends_with_tag(trajectory):
        written[-1] = steps[-1].text
    tokens, starts = tokenize_prompt(tokenizer, prompts[-1] + written[-1])
    labels = [NO_LOSS] * len(tokens)
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    rows = []
    for depth, (prompt, text) in enumerate(zip(prompts, written, strict=True), start=1):
        if not steps[depth - 1].text:
            continue  # the policy wrote only a tag, and reads a blank line there
        read, _ = tokenize_prompt(tokenizer, prompt)
        if tokens[: len(read)] == read:
            # A last token that also contains the line break after the tag still ends the step.
            stop = sum(start < len(prompt) + len(text) for start in starts)
            labels[len(read) : stop] = tokens[len(read) : stop]
        else:
            added, _ = tokenize(tokenizer, text)
            added += end if depth == len(steps) else []
            rows.append(TokenRow((*read, *added), (*[NO_LOSS] * len(read), *added)))
    if labels[-1] != NO_LOSS:
        tokens, labels = tokens + end, labels + end
    if any(label != NO_LOSS for label in labels):
        rows.insert(0, TokenRow(tuple(tokens), tuple(labels)))
    return rows


def reply_row(tokenizer: Any, read: str, written: str, ends: bool = True, task: int = 0) -> TokenRow:
    """A prompt and what the policy writes after it, tokenized apart, as when it is generated.

    Args:
        ends: the policy ends its reply there.
    """
    before, _ = tokenize_prompt(tokenizer, read)
    after, _ = tokenize(tokenizer, written)
    if ends and tokenizer.eos_token_id is not None:
        after = [*after, tokenizer.eos_token_id]
    return TokenRow((*before, *after), (*[NO_LOSS] * len(before), *after), task)


def tokenize_prompt(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """`tokenize` for a text that begins a sequence, with the beginning-of-sequence token that it may need."""
    ids, starts = tokenize(tokenizer, text)
    bos = missing_bos(tokenizer, ids)
    return bos + ids, [0] * len(bos) + starts


def tokenize(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """The tokens of `text`, and the index of the character at which each starts."""
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(found["input_ids"]), [start for start, _ in found["offset_mapping"]]
