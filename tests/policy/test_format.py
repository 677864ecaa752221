"""The step format: its text byte for byte, and a parser that never raises."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.policy import ChatFormat, RStarFormat, StepFormat
from treestar.policy.formats import BoundFormat, plain_template
from treestar.policy.formats.step_format import shown_output
from treestar.types import Execution, Problem, State, Step

QUESTION = "James gets 160 emails a day. 30% need no response. How many does he answer in 5 days?"
FORMATS: list[StepFormat] = [RStarFormat(), BoundFormat(), ChatFormat(plain_template)]

SKIPPED = Step("# Step 1: 30% need no response\nskipped = 160 * 30 / 100", "skipped = 160 * 30 / 100")
PRINTED = Step("# Now print the final answer\nprint(560)", "print(560)", "code")
WITH_OUTPUT = State(Problem(QUESTION), (SKIPPED, PRINTED), (Execution(), Execution("560\n")))


def test_the_released_format_byte_for_byte() -> None:
    assert RStarFormat().prompt(WITH_OUTPUT) == (
        f"<|user|>:\n{QUESTION}\n<|assistant|>: Let's think step by step and solve the problem with code.<code>\n"
        "# Step 1: 30% need no response\nskipped = 160 * 30 / 100\n<end_of_step>\n"
        "# Now print the final answer\nprint(560)\n<end_of_code>\n<output>560<end_of_output>\n<answer>"
    )


def test_bound_form_names_the_numbers_and_people_see_the_values() -> None:
    form = BoundFormat()
    problem = Problem(QUESTION)
    prompt = form.prompt(State(problem))
    assert "160" not in prompt
    assert "30" not in prompt
    namespace: dict[str, object] = {}
    exec(form.preamble(problem), namespace)
    names = {name: value for name, value in namespace.items() if name.startswith("n")}
    assert list(names.values()) == [160, 30, 5]
    first, second, _ = names
    assert form.display(problem, f"skipped = {first} * {second} / 100") == "skipped = 160 * 30 / 100"
    assert form.final_answer(PRINTED, Execution("1\n560 \n")) == "560"
    assert form.final_answer(PRINTED, Execution("")) == ""
    assert form.final_answer(SKIPPED, Execution("")) is None


@pytest.mark.parametrize(
    ("text", "ended", "expected"),
    [
        ("# a\nx = 1\n<end_of_step>\nmore", False, Step("# a\nx = 1", "# a\nx = 1", "step")),
        ("print(x)\n<end_of_code>\n<output>forged", False, Step("print(x)", "print(x)", "code")),
        ("so \\boxed{5}.<end_of_answer>", False, Step("so \\boxed{5}.", "", "answer", "5")),
        ("x = 1 + ", False, Step("x = 1 +", "", "truncated")),
        ("", False, Step("", "", "truncated")),
    ],
)
def test_parsing(text: str, ended: bool, expected: Step) -> None:
    assert RStarFormat().parse(State(Problem("q")), text, ended) == expected


def test_after_the_output_comes_the_answer() -> None:
    form = RStarFormat()
    step = form.parse(WITH_OUTPUT, "James answers \\boxed{560} emails.<end_of_answer>", False)
    assert (step.ending, step.answer, step.code) == ("answer", "560", "")
    assert form.final_answer(step, Execution()) == "560"
    without = form.parse(WITH_OUTPUT, "I do not know<end_of_answer>", False)
    assert form.final_answer(without, Execution()) == ""


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("8.999999999999998", "9.0"),
        ("0.1 + 0.2 = 0.30000000000000004, or -[2.0000000000000004]", "0.1 + 0.2 = 0.3, or -[2.0]"),
        ("0.3333333333333333 1.4142135623730951 123456789.12345679", None),
        ("5.551115123125783e-17 1.2.30000000000000004 x0.30000000000000004", None),
        ("100000000000000000.5 0.00001000000000000001", None),
    ],
)
def test_a_policy_is_shown_floats_without_their_rounding_errors(printed: str, shown: str | None) -> None:
    assert shown_output(Execution(printed)) == (printed if shown is None else shown)


@given(st.integers(1, 10**6), st.integers(1, 10**3), st.sampled_from(["*", "/", "+", "-"]))
def test_what_a_policy_is_shown_of_a_float_has_its_value(cents: int, number: int, operation: str) -> None:
    value = eval(f"{cents} / 100 {operation} {number} / 10")
    shown = shown_output(Execution(repr(value)))
    assert float(shown) == pytest.approx(value, rel=1e-11)
    if operation != "/":
        assert len(shown) <= 11


def test_chat_takes_code_steps_and_free_text_alike() -> None:
    form = ChatFormat(plain_template)
    start = State(Problem(QUESTION))
    assert form.prompt(start).count("<end_of_code>") == 3, "the instruction and two examples"
    fenced = form.parse(start, "```python\nx = 1\n```\n<end_of_step>", False)
    assert (fenced.code, fenced.ending) == ("x = 1", "step")
    prose = form.parse(start, "First, 30% of 160 is 48.\n\nThen 112 remain.", False)
    assert (prose.text, prose.code, prose.ending) == ("First, 30% of 160 is 48.", "", "step")
    after = State(Problem(QUESTION), (prose,), (Execution(),))
    assert "\n\n" in form.stop_strings(after)
    assert "\n\n" not in form.stop_strings(start)
    assert form.prompt(after).endswith("48.\n\n")
    last = form.parse(after, "So the answer is \\boxed{560}.", True)
    assert (last.ending, last.answer) == ("answer", "560")


pieces = st.lists(
    st.sampled_from(
        ["<end_of_step>", "<end_of_code>", "<end_of_answer>", "<answer>", "\\boxed{", "}", "\n\n", "```", "x = 1"]
    )
    | st.text(max_size=8),
    max_size=12,
).map("".join)


@settings(max_examples=400)
@given(text=pieces, ended=st.booleans(), question=st.text(max_size=40), state=st.sampled_from([None, WITH_OUTPUT]))
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_no_text_makes_the_parser_raise(
    form: StepFormat, text: str, ended: bool, question: str, state: State | None
) -> None:
    state = state or State(Problem(question))
    step = form.parse(state, text, ended)
    for tag in ("<end_of_step>", "<end_of_code>", "<end_of_answer>"):
        assert tag not in step.text
    assert step.code in text
    assert (step.answer is None) or step.ending == "answer"
    longer = State(state.problem, (*state.steps, step), (*state.executions, Execution("out")))
    assert step.text in form.prompt(longer)
    assert isinstance(form.final_answer(step, Execution("out")), str | None)
    form.display(state.problem, text)
    form.preamble(state.problem)
