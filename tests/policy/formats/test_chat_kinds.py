"""What ordinary models write when they are asked for steps of code: boxes too early, fences anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.grpo_rollouts import ScriptedModel
from support.paths import SHARED

from treestar.policy import ChatFormat
from treestar.policy.backends.generated import Generated
from treestar.policy.formats import plain_template
from treestar.types import Execution, Problem, State, Step

CHAT = ChatFormat(plain_template)
EMPTY = State(Problem("?"))
CASES = SHARED.parent / "cases" / "reports.jsonl"


def reported(api: str) -> list[dict[str, Any]]:
    lines = CASES.read_text(encoding="utf-8").splitlines() if CASES.is_file() else []
    found = [json.loads(line) for line in lines]
    return [each for each in found if each["input"].get("api") == api]


@pytest.mark.skipif(not CASES.is_file(), reason=f"the shared cases are not there: {CASES}")
def test_the_reported_texts_are_read_as_expected() -> None:
    cases = reported("ChatFormat.parse")
    assert cases
    for case in cases:
        step = CHAT.parse(EMPTY, case["input"]["text"], ended=False)
        if case["expected"] == "ending=step":
            assert step.ending == "step", case
        else:
            expected = "x = 3 + 4\nprint(x)" if case["expected"] == "code of the fence" else case["expected"]
            assert step.code == expected, case


@pytest.mark.parametrize(
    "text",
    [
        "Remember to use \\boxed{}.\n\nNow 3 + 4.",
        "The result will be \\boxed{\\text{answer}}, as asked.\n\nLet me see.",
        "I write \\boxed{?} for what is unknown.\n\n3 + 4 = 7.",
        "We have \\boxed{7} so far; now double it.\n\nThat is 14.",
        "**Plan**: compute, then \\boxed it.\n\nCompute.",
    ],
)
def test_a_box_that_is_empty_or_followed_by_more_ends_nothing(text: str) -> None:
    step = CHAT.parse(EMPTY, text, ended=True)
    assert (step.ending, step.answer) == ("step", None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```py\nx = 3\n```\n<end_of_step>", "x = 3"),
        ("~~~python\nx = 3\n~~~<end_of_step>", "x = 3"),
        ("```python3\nx = 3\n<end_of_step>", "x = 3"),
        ("<code>\nx = 3\n</code><end_of_step>", "x = 3"),
        ("Add:\n```python\nx = 3\n```\nThen double:\n```python\ny = 2 * x\n```\n<end_of_code>", "x = 3\ny = 2 * x"),
        ("````python\nx = '```'\n````<end_of_step>", "x = '```'"),
        ("- Add:\n  ```python\n  if True:\n      x = 3\n  ```\n<end_of_step>", "if True:\n    x = 3"),
        ("# Step 1\nx = 3\n<end_of_step>", "# Step 1\nx = 3"),
        ("```python\nprint(3)\n```\nIt prints:\n```\nOutput: 3\n```\n<end_of_code>", "print(3)"),
        ("```python\nx = f(3)```<end_of_step>", "x = f(3)"),
        ("Code:\n```py\nx = 3\n```<end_code><end_of_step>", "x = 3"),
        ("```tool_code\nx = 3\n```<end_of_step>", "x = 3"),
        ("[PYTHON]\nx = 3\n[/PYTHON]<end_of_step>", "x = 3"),
        ("x = 3\n```<end_of_step>", "x = 3"),
        ("print(3)\n```output\n3 apples\n```\n<end_of_code>", "print(3)"),
        ("```bash\npip install sympy\n```\n```{.python}\nx = 3\n```\n<end_of_step>", "x = 3"),
        ("Sure, let me add them.\n\nx = 3\n<end_of_step>", "# Sure, let me add them.\n\nx = 3"),
        ("**Step 1:** Add the numbers.\nx = 3\n<end_of_step>", "# **Step 1:** Add the numbers.\nx = 3"),
        ('x = """\nThe text is 3 +\n"""\n<end_of_step>', 'x = """\nThe text is 3 +\n"""'),
        ("Now the sum\nx = 3 +\n<end_of_step>", "Now the sum\nx = 3 +"),
    ],
)
def test_the_code_of_a_step_is_what_is_fenced(text: str, code: str) -> None:
    assert CHAT.parse(EMPTY, text, ended=False).code == code


def test_a_reply_in_prose_is_answered_once_it_has_ended() -> None:
    reply = "3 + 4 = 7.\n\n```python\nprint(7)\n\nprint(14)\n```\n\nThe answer is \\boxed{14}."
    state, texts = EMPTY, []
    for _ in range(3):
        step = CHAT.parse(state, reply, ended=True)
        texts.append(step.text)
        reply = reply[len(step.text) :].lstrip("\n")
        state = State(state.problem, (*state.steps, step), (*state.executions, Execution()))
    assert texts == ["3 + 4 = 7.", "```python\nprint(7)\n\nprint(14)\n```", "The answer is \\boxed{14}."]
    assert (step.ending, step.answer) == ("answer", "14")


def test_a_last_paragraph_with_a_blank_line_in_a_formula_is_complete() -> None:
    policy = ScriptedModel(lambda *_: "", "chat")
    state = State(Problem("?"), (Step("3 + 4 is 7."),), (Execution(),))
    reply = "So\n$$\n2 \\cdot 7\n\n= 14\n$$\nand it is \\boxed{14}."
    step = policy.step(state, Generated(reply, True, 9, -1.0))
    assert (step.ending, step.answer) == ("answer", "14")


CODE = "# Now print the final answer\nprint(result)\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{CODE}<output>2.5<end_of_output>\n<answer>The result is 2.5.",
        f"{CODE}<output>2.5\n<answer>The result is \\boxed{{2.5}}<end_of_answer>",
        f"<code>{CODE}</code>\n<output>2.5",
        f"{CODE}<end_of_answer>",
        CODE,
        f"```python\n{CODE}```",
    ],
)
def test_a_program_without_its_tag_is_run_whatever_output_the_model_makes_up(text: str) -> None:
    """As SmolLM2 often writes. The last formula of the program was taken for the answer."""
    state = State(Problem("?"), (Step("result = 5 * 4", "result = 5 * 4"),), (Execution(),))
    step = CHAT.parse(state, text, ended=True)
    assert (step.ending, step.code.strip(), step.answer) == ("code", CODE.strip(), None)
    assert "2.5" not in step.text


@pytest.mark.parametrize(
    "text",
    ["The answer is \\boxed{14}.", "It is 14:\n```python\nprint(14)\n```", "14", "result = 14", "print 14 <output>"],
)
def test_words_are_no_program(text: str) -> None:
    step = CHAT.parse(EMPTY, text, ended=True)
    assert (step.ending, step.code) == ("answer", "")
