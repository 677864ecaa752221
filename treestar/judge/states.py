"""Solutions as JSON text: what a judge reads, stored with its label."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from treestar.types import Execution, Problem, State, Step

__all__ = ["state_from_json", "state_to_json"]


def state_to_json(state: State) -> str:
    """`state` without what only its search needs: log-probabilities, tokens and interpreter snapshots."""
    steps = [
        {
            "text": step.text,
            "code": step.code,
            "ending": step.ending,
            "answer": step.answer,
            "tokens": step.tokens,
            "output": execution.output,
            "error": execution.error,
        }
        for step, execution in zip(state.steps, state.executions, strict=True)
    ]
    return json.dumps({"problem": asdict(state.problem), "preamble_output": state.preamble_output, "steps": steps})


def state_from_json(text: str) -> State:
    """The state that `state_to_json` wrote. Raises ValueError, KeyError or TypeError for any other text."""
    data = json.loads(text)
    executions = tuple(Execution(each["output"], each["error"]) for each in data["steps"])
    steps = tuple(step_from(each) for each in data["steps"])
    return State(Problem(**data["problem"]), steps, executions, data["preamble_output"])


def step_from(fields: dict[str, Any]) -> Step:
    return Step(fields["text"], fields["code"], fields["ending"], fields["answer"], tokens=fields["tokens"])
