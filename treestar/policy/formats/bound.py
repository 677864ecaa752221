"""The `bound` form: every number of the question has a name, and the steps compute with the names (`binding.py`)."""

from __future__ import annotations

from functools import lru_cache

from treestar.policy.formats.binding import Binding, bind_numbers, show_values
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import END_OF_CODE, END_OF_STEP, OPENING, FormatName, trajectory_text
from treestar.types import Execution, Problem, State, Step

__all__ = ["BoundFormat"]


class BoundFormat(RStarFormat):
    """Numbers by name; what the complete code prints is the answer, and no words follow."""

    name: FormatName = "bound"

    def prompt(self, state: State) -> str:
        question = binding_of(state.problem.question).question
        return f"<|user|>:\n{question}\n<|assistant|>: {OPENING}{trajectory_text(state)}"

    def stop_strings(self, state: State) -> tuple[str, ...]:
        return END_OF_STEP, END_OF_CODE

    def preamble(self, problem: Problem) -> str:
        return binding_of(problem.question).preamble

    def display(self, problem: Problem, text: str) -> str:
        return show_values(text, binding_of(problem.question))

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        if step.ending != "code":
            return super().final_answer(step, execution)
        lines = execution.output.strip().splitlines()
        return lines[-1].strip() if lines else ""


@lru_cache(maxsize=4096)
def binding_of(question: str) -> Binding:
    return bind_numbers(question)
