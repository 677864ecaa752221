"""What a policy proposes, as the search needs it: no more steps than asked for, and answers as text."""

from __future__ import annotations

from dataclasses import replace
from numbers import Number

from treestar.types import Policy, Proposal, TreestarError

__all__ = ["answer_text", "checked_proposal"]


def checked_proposal(proposal: Proposal, n: int, policy: Policy) -> Proposal:
    """`proposal` with its first `n` steps. Raises TreestarError if an answer is neither a text nor a number."""
    steps = proposal.steps[:n]
    if not [step for step in steps if step.answer is not None and not isinstance(step.answer, str)]:
        return proposal if len(steps) == len(proposal.steps) else replace(proposal, steps=steps)
    return replace(proposal, steps=tuple(replace(step, answer=answer_text(step.answer, policy)) for step in steps))


def answer_text(answer: object, policy: Policy) -> str | None:
    """A policy's answer as text: policies of one's own may give numbers. Raises TreestarError for anything else."""
    if answer is None or isinstance(answer, str):
        return answer
    if isinstance(answer, Number) and not isinstance(answer, bool):
        return str(answer)
    raise TreestarError(
        f"the policy {policy.name!r} gave a step whose answer is a {type(answer).__name__}, {answer!r:.80}: it must be "
        "a text, a number or None"
    )
