"""Small finished trajectories to fine-tune on, in the three forms of the step format."""

from __future__ import annotations

from treestar.policy.formats import FormatName
from treestar.training.sft.data import SFTRow
from treestar.types import Execution, Problem, State, Step


def sum_row(number: int, step_format: FormatName = "rstar", copies: int = 1) -> SFTRow:
    """A two-step solution of "What is NUMBER plus 2?", with an answer in words if the format has one."""
    problem = Problem(f"What is {number} plus 2?", str(number + 2), f"sum-{number}")
    first, second = ("n3", "n4") if step_format == "bound" else (str(number), "2")
    texts = [f"# add the numbers\ntotal = {first} + {second}", "print(total)"]
    steps = [Step(texts[0], texts[0], "step"), Step(texts[1], texts[1], "code")]
    executions = [Execution(), Execution(f"{number + 2}\n")]
    if step_format != "bound":
        steps.append(Step(f"It is \\boxed{{{number + 2}}}.", ending="answer", answer=str(number + 2)))
        executions.append(Execution())
    return SFTRow(problem.id, State(problem, tuple(steps), tuple(executions)), copies)
