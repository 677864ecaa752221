"""A whole reply, cut into steps the way a local model generates them."""

from __future__ import annotations

from treestar.policy.formats import StepFormat
from treestar.types import Execution, Problem, State, Step

__all__ = ["reply_steps"]


def reply_steps(form: StepFormat, problem: Problem, reply: str) -> tuple[Step, ...]:
    """The steps of a model that writes `reply`, and then its end-of-sequence token; no code is executed."""
    state, rest = State(problem), reply
    while True:
        stops = form.stop_strings(state)
        ends = sorted(place + len(stop) for stop in stops for place in range(len(rest)) if rest.startswith(stop, place))
        end = next((place for place in ends if not form.goes_on(rest[:place])), len(rest))
        step = form.parse(state, rest[:end], end == len(rest))
        state = State(problem, (*state.steps, step), (*state.executions, Execution()))
        rest = rest[len(step.text) :]
        if step.ending != "step":
            return state.steps
