"""A policy over another one, which it asks for all that it does not do itself."""

from __future__ import annotations

from typing import Generic, TypeVar

from treestar.types import Execution, Policy, Problem, Step

__all__ = ["WrappedPolicy"]

PolicyT = TypeVar("PolicyT", bound=Policy)


class WrappedPolicy(Generic[PolicyT]):
    """Of `treestar.types.Policy` all but `propose`, which is what a wrapping policy is there for."""

    def __init__(self, policy: PolicyT) -> None:
        self.policy = policy
        self.name = policy.name

    def preamble(self, problem: Problem) -> str:
        return self.policy.preamble(problem)

    def display(self, problem: Problem, text: str) -> str:
        return self.policy.display(problem, text)

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return self.policy.final_answer(step, execution)
