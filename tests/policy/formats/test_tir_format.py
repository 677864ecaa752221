"""Blocks of Python as ordinary models write them: what of them runs, and what a reply answers whose program failed."""

from __future__ import annotations

import pytest

from treestar.policy.formats import INSTRUCT, TirFormat, plain_template
from treestar.types import Execution, Problem, State, Step
from treestar.verifier import extract_answer

TIR = TirFormat(plain_template, INSTRUCT)
PROBLEM = Problem("What is 12 * 12?")
START = State(PROBLEM)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("~~~python\nprint(12 * 12)\n~~~\n", "print(12 * 12)"),
        ("```python\n!pip install numpy\n%matplotlib inline\nx = 7 %5\nprint(x)\n```\n", "x = 7 %5\nprint(x)"),
        (
            "```python\n>>> x = 12\n>>> for _ in [1]:\n...     x * x\n...\n144\n```\n",
            "x = 12\nfor _ in [1]:\n    x * x\n",
        ),
        ("I compute it:\n\n```python\nprint(12 * 12)", "print(12 * 12)"),
    ],
)
def test_the_code_of_a_block_runs_without_what_surrounds_it(reply: str, code: str) -> None:
    state, rest = START, reply
    while not (step := TIR.parse(state, rest, ended=True)).code:
        state, rest = State(PROBLEM, (*state.steps, step), (*state.executions, Execution(""))), rest[len(step.text) :]
    assert step.ending == "step"
    assert step.code.strip() == code.strip()


def test_an_output_follows_the_fence_that_the_model_left_out() -> None:
    step = TIR.parse(START, "```python\nprint(144)", ended=True)
    reply = TIR.reply(State(PROBLEM, (step,), (Execution("144"),)))
    assert reply == "```python\nprint(144)\n```\n```output\n144\n```\n"


def test_a_program_that_the_limit_cut_off_is_not_run() -> None:
    assert TIR.parse(START, "```python\nprint(12 *", ended=False).ending == "truncated"


@pytest.mark.parametrize(("error", "answer"), [("", "144"), ("SyntaxError: invalid syntax (line 1: `12`)", None)])
def test_the_message_of_an_error_is_not_an_answer(error: str, answer: str | None) -> None:
    step = Step("```python\nprint(12 ** 2)\n```\n", code="print(12 ** 2)")
    state = State(PROBLEM, (step,), (Execution("" if error else "144", error=error or None),))
    assert TIR.parse(state, "I hope this helps!", ended=True).answer == answer


@pytest.mark.parametrize(
    "reply",
    ["```python\nprint(12 * 12)\n```", "Let me compute it:\n\n```python\nprint(12 * 12)\n", "~~~py\nx = 5\n~~~"],
)
def test_a_number_in_a_program_is_not_the_answer_of_a_reply_that_has_no_other(reply: str) -> None:
    assert extract_answer(reply) is None


def test_a_program_may_state_the_answer_in_a_comment() -> None:
    assert extract_answer("```python\nprint(12 * 12)\n# The answer is 144\n```") == "144"
