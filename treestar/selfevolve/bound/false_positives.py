"""Finds right answers by wrong logic: runs a trajectory's program on other instances of its problem's template.

A coincidence in one problem's numbers, such as 12 for months if the question has 12 eggs, does not repeat with other
numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from treestar.policy.formats import BoundFormat
from treestar.types import Execution, Executor, Interpreter, Problem, State, Verifier
from treestar.verifier.notation.plain_numbers import read_plain_number

__all__ = ["Resample", "is_false_positive"]

Resample = Callable[[Problem, int], "Problem | None"]
"""(problem, seed) -> an instance of the same structure with other numbers, or None if there is none."""


async def is_false_positive(
    problem: Problem,
    trajectory: State,
    resample: Resample,
    executor: Executor,
    verifier: Verifier,
    instances: int,
    seed: int,
) -> bool:
    """Whether the program of a trajectory with the right answer is wrong on another instance of its problem.

    False if the source has no other instance (`resample(problem, seed) is None`): it cannot be checked then.

    Args:
        trajectory: finished, in the bound format: its steps compute with names, so they run unchanged on any instance.
            In other formats the numbers themselves are in the steps.
        resample: such as `treestar.selfevolve.bound.resampling.resample`.
        instances: number of other instances on which it must be right.
        seed: seed of the instances.

    Raises:
        TreestarError: the executor failed permanently.
    """
    interpreter = await executor.open()
    try:
        for index in range(instances):
            instance = resample(problem, seed + index)
            if instance is None:
                return False
            answer = await answer_to(instance, trajectory, interpreter)
            right = answer is not None and await verifier.accepts(instance, answer)
            if not right and not is_rounded(instance.answer, answer):
                return True
        return False
    finally:
        await interpreter.close()


async def answer_to(instance: Problem, trajectory: State, interpreter: Interpreter) -> str | None:
    """The answer of the trajectory's program to another instance; None if it fails or prints nothing."""
    form = BoundFormat()
    execution = Execution()
    preamble = form.preamble(instance)
    if preamble:
        execution = await interpreter.run(preamble, None)
    for step in trajectory.steps:
        execution = await interpreter.run(step.code, execution.snapshot)
        if execution.error is not None:
            return None
    return form.final_answer(trajectory.steps[-1], execution) or None


def is_rounded(gold: str | None, answer: str | None) -> bool:
    """Whether `gold` is the integer part of `answer`: 3 for 3.5 trays. Generators that count in whole numbers round
    like this if the drawn numbers do not divide evenly; such an instance cannot be used to check a program."""
    exact, whole = read_plain_number(answer or ""), read_plain_number(gold or "")
    return exact is not None and whole is not None and exact.value != whole.value == floor(exact.value)
