"""Which of the steps that follow a state count as the same: those that run the same code."""

from __future__ import annotations

from collections.abc import Sequence

from treestar.types import Step

__all__ = ["StepKey", "code_without_comments", "merge_duplicates", "step_key", "what_it_says"]

StepKey = tuple[str, str, str | None]
"""What steps are compared by; see `step_key`."""


def merge_duplicates(steps: Sequence[Step], kind: str) -> dict[StepKey, list[int]]:
    """The indices at which each distinct step occurs in `steps`, by its key, in order of first appearance."""
    merged: dict[StepKey, list[int]] = {}
    for place, step in enumerate(steps):
        merged.setdefault(step_key(step, kind), []).append(place)
    return merged


def step_key(step: Step, kind: str) -> StepKey:
    """What distinguishes the steps of one state: the code they run, because the same code in the same interpreter state
    leaves the same variables. Comments do not count. Steps without code are compared by their text."""
    return what_it_says(step, kind), step.ending, step.answer


def what_it_says(step: Step, kind: str) -> str:
    """The step's code without comments, or else its text without the white space around it. The text of a problem of
    the kind `code` is a part of a program, whose first line keeps its indentation."""
    code = code_without_comments(step.code)
    if code:
        return code
    return step.text.rstrip().lstrip("\n") if kind == "code" else step.text.strip()


def code_without_comments(code: str) -> str:
    """`code` without comment lines, empty lines and trailing spaces. Code with multi-line strings, where such lines can
    have a meaning, is returned unchanged."""
    if "\n" not in code and "#" not in code:
        return code.rstrip()
    if '"""' in code or "'''" in code:
        return code
    lines = [line.rstrip() for line in code.split("\n")]
    return "\n".join([line for line in lines if line and not line.lstrip().startswith("#")])
