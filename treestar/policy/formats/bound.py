"""The bound format: every number of the question has a name, and the steps compute with the names (`binding.py`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from treestar.policy.formats.binding import NAME_COUNT, Binding, bind_numbers, show_values
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import END_OF_CODE, END_OF_STEP, FormatName
from treestar.types import Execution, Problem, State, Step

__all__ = ["BoundFormat", "binding_of"]


class BoundFormat(RStarFormat):
    """Numbers have names; what the complete code prints is the answer, and no words follow."""

    name: FormatName = "bound"

    def question(self, problem: Problem) -> str:
        return binding_of(problem.question).question

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

    def interchangeable_tokens(self, tokenizer: Any) -> range:
        """The tokens of n0, n1, ...; none where the tokenizer does not have one token for each, in a row.

        The numbers of a question could as well be called n20, n21, ... as n3, n4, ...
        """
        tokens = tokenizer.convert_tokens_to_ids([f"n{index}" for index in range(NAME_COUNT)])
        names = range(tokens[0] or 0, (tokens[0] or 0) + NAME_COUNT)
        return names if tokens == list(names) else range(0)


@lru_cache(maxsize=4096)
def binding_of(question: str) -> Binding:
    """`bind_numbers(question)`, cached."""
    return bind_numbers(question)
