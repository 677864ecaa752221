"""A policy that delegates to another."""

from __future__ import annotations

from treestar.types import Execution, Policy, Problem, State, Step

__all__ = ["WrappedPolicy"]


class WrappedPolicy(Policy):
    """Delegates to `policy` everything but `propose`, which a subclass writes."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.name = policy.name
        self.step_format = policy.step_format
        self.recommended = policy.recommended
        self.shows_errors = policy.shows_errors
        self.calibrations = policy.calibrations

    def preamble(self, problem: Problem) -> str:
        return self.policy.preamble(problem)

    def display(self, problem: Problem, text: str) -> str:
        return self.policy.display(problem, text)

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return self.policy.final_answer(step, execution)

    def only_answer_left(self, state: State) -> bool:
        return self.policy.only_answer_left(state)
