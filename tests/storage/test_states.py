import json

import pytest

from treestar.storage.states import state_from_json, state_to_json
from treestar.types import Execution, Problem, Snapshot, State, Step

PROBLEM = Problem("What is 1 plus 1?", "2", "sum", metadata={"level": "easy"})
STATE = State(
    PROBLEM,
    (Step("x = 1 / 0", "x = 1 / 0", tokens=9), Step("2", ending="answer", answer="2", tokens=3)),
    (Execution("", "ZeroDivisionError"), Execution("2\n")),
    "a paragraph",
)


def test_a_solution_is_read_back_without_what_only_its_search_needs() -> None:
    [first, last], [run, _] = STATE.steps, STATE.executions
    searched = State(
        PROBLEM,
        (Step(first.text, first.code, log_probability=-2.0, tokens=9, token_ids=(1, 2)), last),
        (Execution(run.output, run.error, Snapshot(3), 0.5), STATE.executions[1]),
        STATE.preamble_output,
    )
    assert state_from_json(state_to_json(searched)) == STATE
    assert state_from_json(state_to_json(STATE, step_format="tir")) == STATE
    assert json.loads(state_to_json(STATE, step_format="tir"))["step_format"] == "tir"


OF_STEPER = {"text": "So 2.", "code": "", "ending": "answer", "answer": "2", "output": ""}
OF_EVOLVE = {**OF_STEPER, "log_probability": -0.5, "tokens": 3, "confidences": []}
OF_CHUNKS = {"text": "So 2.", "ending": "answer", "answer": "2", "output": ""}


@pytest.mark.parametrize("step", [OF_STEPER, OF_EVOLVE, {**OF_EVOLVE, "error": "NameError"}, OF_CHUNKS])
def test_what_earlier_versions_stored_is_read(step: dict[str, object]) -> None:
    state = state_from_json(json.dumps({"problem": {"question": "1 + 1"}, "steps": [step], "step_format": None}))
    expected = Step("So 2.", ending="answer", answer="2", tokens=state.steps[0].tokens)
    assert (state.problem, state.steps) == (Problem("1 + 1"), (expected,))
    assert state.executions == (Execution(error=step.get("error")),)  # type: ignore[arg-type]
