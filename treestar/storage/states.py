"""Solutions as JSON text, as tables of training data and of a judge's data store them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from treestar.types import Execution, Problem, State, Step

__all__ = ["state_from_json", "state_from_values", "state_to_json"]


def state_to_json(state: State, **further: Any) -> str:
    """`state` without what only its search needs (log-probabilities, token ids and interpreter snapshots), and
    `further` JSON values beside it, which `state_from_json` ignores."""
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
    values = {"problem": asdict(state.problem), "preamble_output": state.preamble_output, "steps": steps}
    return json.dumps({**values, **further})


def state_from_json(text: str) -> State:
    """The state that `state_to_json` wrote. Raises ValueError, KeyError or TypeError for any other text."""
    return state_from_values(json.loads(text))


def state_from_values(values: Mapping[str, Any]) -> State:
    """As `state_from_json`, of the parsed text. Only the texts and outputs of steps are needed."""
    steps = tuple(
        Step(
            each["text"],
            each.get("code", ""),
            each.get("ending", "step"),
            each.get("answer"),
            tokens=each.get("tokens", 0),
        )
        for each in values["steps"]
    )
    executions = tuple(Execution(each["output"], each.get("error")) for each in values["steps"])
    return State(Problem(**values["problem"]), steps, executions, values.get("preamble_output", ""))
