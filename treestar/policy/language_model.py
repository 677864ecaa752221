"""What all policies over a language model share: they write steps in a step format, which answers for them."""

from __future__ import annotations

from copy import copy

from treestar.policy.formats import StepFormat
from treestar.types import Execution, Policy, Problem, State, Step

__all__ = ["LanguageModelPolicy"]


class LanguageModelPolicy(Policy):
    """A policy over a language model; a backend implements `propose`.

    Args:
        step_format: the format in which the model writes its steps.
        name: what results and errors call the policy.
    """

    def __init__(self, step_format: StepFormat, name: str) -> None:
        self.format = step_format
        self.name = name
        self.step_format = step_format.name
        self.recommended = step_format.recommended
        self.shows_errors = step_format.shows_errors

    def writing(self, step_format: StepFormat) -> LanguageModelPolicy:
        """This policy in another format. It shares the model, which only the original closes."""
        other = copy(self)
        other.format, other.step_format, other.recommended = step_format, step_format.name, step_format.recommended
        other.shows_errors = step_format.shows_errors
        return other

    def preamble(self, problem: Problem) -> str:
        return self.format.preamble(problem)

    def display(self, problem: Problem, text: str) -> str:
        return self.format.display(problem, text)

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return self.format.final_answer(step, execution)

    def only_answer_left(self, state: State) -> bool:
        return self.format.only_answer_left(state)
