"""The text that public reward models read: the steps as prose, without anything that looks like a mark of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from treestar.types import Execution, State, Step

__all__ = ["numbered", "special_texts", "step_text", "step_texts", "without_marks"]

FENCE = "```"

NUMBERED = re.compile(r"\s*(?:#+\s*)?Step\s+\d+\s*:", re.IGNORECASE)


def step_texts(state: State) -> list[str]:
    """The text of every step of `state`; see `step_text`."""
    return [step_text(*each) for each in zip(state.steps, state.executions, strict=True)]


def step_text(step: Step, execution: Execution) -> str:
    """A step as prose: its stripped text, its code in a ```python fence, and what the code printed (or the failure) in
    an ```output fence. Code that the text already has in a fence stays as it is. "" for a blank step."""
    text = step.text.strip()
    code = step.code.strip()
    if not code:
        return text
    if FENCE not in text:
        fenced = f"{FENCE}python\n{code}\n{FENCE}"
        before, found, after = text.partition(code)
        parts = (before.strip(), fenced, after.strip()) if found else (text, fenced)
        text = "\n".join([part for part in parts if part])
    printed = (execution.output if execution.error is None else execution.error).strip()
    return f"{text}\n{FENCE}output\n{printed}\n{FENCE}" if printed else text


def numbered(steps: Sequence[str]) -> list[str]:
    """The steps, each beginning with `Step N: ` unless it already begins with a number of that form."""
    return [step if NUMBERED.match(step) else f"Step {index}: {step}" for index, step in enumerate(steps, 1)]


def special_texts(tokenizer: Any) -> tuple[str, ...]:
    """The texts that a tokenizer reads as special tokens."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(filter(None, {*added, *tokenizer.all_special_tokens}))


def without_marks(text: str, marks: Iterable[str]) -> str:
    """`text` with a space after the first character of every occurrence of `marks`, so that the tokenizer reads
    ordinary text there: a question that quotes `<extra_0>` must not add a score."""
    for mark in sorted(marks, key=len, reverse=True):
        text = text.replace(mark, f"{mark[:1]} {mark[1:]}")
    return text
