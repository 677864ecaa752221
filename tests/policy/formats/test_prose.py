"""Replies in prose: where steps end, where the reply ends, and what is read as its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.policy.formats import INSTRUCT, CotFormat, Message, StepFormat, ThinkingFormat, TirFormat, plain_template
from treestar.policy.formats.chat import ChatFormat
from treestar.policy.formats.rstar import RStarFormat
from treestar.policy.formats.step_format import reply_parts, trajectory_text
from treestar.types import Execution, Problem, State, Step

QUESTION = Problem("What is 3 + 4, doubled?")


def template(messages: list[Message]) -> str:
    return "".join(f"[{each['role']}]{each['content']}[/]" for each in messages) + "[assistant]"


COT, TIR, THINKING = (made(template, INSTRUCT) for made in (CotFormat, TirFormat, ThinkingFormat))

BLOCKS = (
    "First, \\boxed{3+4=7} is the inner sum.",
    "$$\nx = 7\n\ny = 14\n$$",
    "\\[\nx = 7\n\n= 7\n\\]",
    "\\begin{align}\na\n\nb\n\\end{align}",
    "```python\nx = 3 + 4\n\nprint(x)\n```",
    "~~~\ncode\n\n# not a heading\n~~~",
    "\\[\n\\begin{aligned}\nx &= 3 \\\\[4pt]\n&= 4\n\\end{aligned}\n\\]",
    "```x = 5```",
    "Doubling gives $14$.",
    "- one\n- two",
    "Wait.",
)


def steps_of(step_format: StepFormat, reply: str, output: str = "") -> list[Step]:
    """The steps of a complete reply, each parsed from what is left of it, as after a model that writes exactly this."""
    state, rest = State(QUESTION), reply
    while not state.steps or state.steps[-1].ending == "step":
        step = step_format.parse(state, rest, ended=True)
        assert rest.startswith(step.text)
        rest = rest[len(step.text) :]
        executions = (*state.executions, Execution(output if step.code else ""))
        state = State(QUESTION, (*state.steps, step), executions)
    return list(state.steps)


@given(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=8, unique=True), st.sampled_from(["\n\n", "\n\n\n"]))
def test_the_steps_are_the_reply_cut_between_its_blocks(blocks: list[str], gap: str) -> None:
    reply = gap.join(blocks)
    steps = steps_of(COT, reply)
    assert [step.text.rstrip("\n") for step in steps] == blocks
    assert "".join(step.text for step in steps) == reply
    assert [step.ending for step in steps] == ["step"] * (len(steps) - 1) + ["answer"]


@given(st.text(alphabet="ab $\\[]`#*\n", max_size=60), st.booleans())
def test_whatever_the_text_a_step_is_its_beginning(text: str, ended: bool) -> None:
    for step_format in (COT, TIR, THINKING):
        step = step_format.parse(State(QUESTION), text, ended)
        assert text.startswith(step.text)
        assert step.ending in ("step", "answer", "truncated")


def test_a_box_before_the_end_ends_nothing() -> None:
    steps = steps_of(
        COT, "First, \\boxed{3+4=7} is the inner sum.\n\nDoubling gives 14.\n\nThe final answer is \\boxed{14}."
    )
    assert [step.answer for step in steps] == [None, None, "14"]


@pytest.mark.parametrize("step_format", [COT, TIR, THINKING, ChatFormat(template), RStarFormat()])
def test_a_number_that_the_question_gives_is_told_from_the_answer(step_format: StepFormat) -> None:
    trip = Problem("How long does it take to travel 240 km at 60 km/h?")
    begun = State(trip, (Step("print(240 / 60)", ending="code"),), (Execution("4.0"),))
    state = begun if isinstance(step_format, RStarFormat) else State(trip)
    assert step_format.parse(state, "It takes 4 hours to travel 240 km at 60 km/h.", ended=True).answer == "4"


def test_the_answer_is_read_from_the_whole_reply() -> None:
    assert steps_of(COT, "So \\boxed{14}.\n\nI hope that helps!")[-1].answer == "14"
    assert steps_of(COT, "So \\boxed{14}.\n\n")[-1].answer == "14"


@pytest.mark.parametrize("heading", ["## Step 1: Add", "**Step 1**", "### Add\n\n---", "\n\n"])
def test_a_heading_is_not_a_step_of_its_own(heading: str) -> None:
    first, second = steps_of(COT, f"{heading}\n\n3 + 4 is 7.\n\nTwice that is 14.")
    assert first.text == f"{heading}\n\n3 + 4 is 7.\n\n"
    assert second.text == "Twice that is 14."
    assert COT.goes_on(f"{heading}\n\n")


def test_a_separator_that_is_a_heading_begins_the_next_step() -> None:
    step_format = CotFormat(template, INSTRUCT, "## Step")
    reply = "## Step 1: Add\n3 + 4 = 7\n\n= 7\n\n## Step 2: Double\n14\n\nSo \\boxed{14}."
    steps = steps_of(step_format, reply)
    assert [step.text for step in steps] == [reply[: reply.index("## Step 2")], reply[reply.index("## Step 2") :]]


@pytest.mark.parametrize(
    "open_text", ["$$\nx = 7\n\n", "\\[ x\n\n", "```python\nx = 1\n\n", "\\begin{align} x \n\n", "~~~\n```\n\n"]
)
def test_a_blank_line_within_a_formula_or_code_ends_nothing(open_text: str) -> None:
    assert COT.goes_on(open_text)
    assert not COT.goes_on("Done: $$x$$ \\[y\\]\n\n")


def test_a_formula_that_is_never_closed_does_not_swallow_the_reply() -> None:
    step = COT.parse(State(QUESTION), "Let $$ x = 7\n\nNow what?\n\nAnd", ended=False)
    assert (step.text, step.ending) == ("Let $$ x = 7\n\n", "step")


@pytest.mark.parametrize("loop", [["Again."], ["Tick.", "Tock."], ["a", "b", "c", "d"]])
def test_a_reply_that_repeats_itself_has_ended(loop: list[str]) -> None:
    reply = "The answer is 14.\n\n" + "\n\n".join(loop * 5) + "\n\n"
    steps = steps_of(COT, reply)
    assert len(steps) == 1 + 3 * len(loop)
    assert (steps[-1].ending, steps[-1].answer) == ("answer", "14")


@pytest.mark.parametrize("invented", ["Problem: What is 1 + 1?", "Question 2: ?", "## Problem: x", "Human: thanks"])
def test_without_a_chat_template_an_invented_problem_is_the_end(invented: str) -> None:
    step_format = CotFormat(plain_template, INSTRUCT)
    steps = steps_of(step_format, f"Twice 7 is 14.\n\nThe answer is 14.\n\n{invented}\n\nThe answer is 2.")
    assert (len(steps), steps[-1].ending, steps[-1].answer) == (3, "answer", "14")


def test_a_step_cut_at_the_token_limit_is_truncated() -> None:
    assert COT.parse(State(QUESTION), "It goes on and", ended=False).ending == "truncated"


def cut_off(text: str) -> Step:
    return Step(text, ending="truncated")


@pytest.mark.parametrize("step_format", [COT, TIR])
def test_a_paragraph_longer_than_a_step_goes_on_in_the_next(step_format: StepFormat) -> None:
    state = State(QUESTION, (Step("First.\n\n"),), (Execution(),))
    for number in range(3):
        step = step_format.at_the_limit(state, cut_off(f"1. Twice {number} and"))
        assert (step.text, step.ending, step.code) == (f"1. Twice {number} and", "step", "")
        state = State(QUESTION, (*state.steps, step), (*state.executions, Execution()))
    assert step_format.at_the_limit(state, cut_off("on and on")).ending == "endless"
    finished = State(QUESTION, (*state.steps, Step("done.\n\n")), (*state.executions, Execution()))
    assert step_format.at_the_limit(finished, cut_off("on and on")).ending == "step"


LOOPS = [
    "The total is 2 * 7 = 14" + " = 2 * 7 = 14" * 9 + " = 2 *",
    "".join(f"{number}. 40 * 2 = 80\n" for number in range(5, 30)) + "30. 40 *",
    "Now, we add the apples.\nNow, we add the pears.\n" * 4 + "Now, we",
]


@pytest.mark.parametrize("text", LOOPS)
@pytest.mark.parametrize("step_format", [COT, TIR])
def test_a_model_that_repeats_itself_is_asked_for_its_answer(step_format: StepFormat, text: str) -> None:
    step = step_format.at_the_limit(State(QUESTION), cut_off(text))
    assert (step.text, step.ending) == (text, "endless")
    state = State(QUESTION, (step,), (Execution(),))
    assert step_format.prompt(state).endswith(text + "\n\nThe final answer is \\boxed{")
    assert "".join(piece.text for piece in step_format.pieces(state)) == step_format.prompt(state)
    last = step_format.parse(state, "14}$.\nThis is because", ended=False)
    assert (last.text, last.ending, last.answer) == ("14}$.", "answer", "14")
    finished = State(QUESTION, (step, last), (Execution(), Execution()))
    parts = reply_parts(step_format, finished)
    assert [own for _, own in parts] == [True, False, True]  # the question for the answer is not learned


def test_an_answer_that_is_never_closed_still_counts() -> None:
    state = State(QUESTION, (Step("Hm.", ending="endless"),), (Execution(),))
    assert COT.parse(state, " 14", ended=False).answer == "14"
    assert COT.parse(state, "14", ended=True).answer == "14"
    assert COT.parse(state, "", ended=True).answer is None
    assert COT.parse(state, r" \frac{1}{2}", ended=True).answer == r"\frac{1}{2}"


def test_a_question_for_a_phrase_is_asked_for_one() -> None:
    question = Problem("Who?", "Ada", kind="qa")
    state = State(question, (Step("Hm.", ending="endless"),), (Execution(),))
    assert COT.prompt(state).endswith("Hm.\n\nSo the answer is:")
    assert COT.parse(state, " Ada Lovelace.\nAnd so on", ended=False).answer == "Ada Lovelace"


def test_a_loop_that_states_the_answer_has_it() -> None:
    step = COT.at_the_limit(State(QUESTION), cut_off("The final answer is \\boxed{14}. I hope it is correct. " * 9))
    assert (step.ending, step.answer) == ("answer", "14")


@pytest.mark.parametrize(
    "text", ["1 + 2 + 3 + 4 + 5 and so on " * 2, "1 / 3 = 0.3333333333333333333333333", "No loop."]
)
def test_what_is_not_repeated_three_times_goes_on(text: str) -> None:
    assert COT.at_the_limit(State(QUESTION), cut_off(text)).ending == "step"


@pytest.mark.parametrize(
    ("begun", "end"),
    [
        ("<think>", "\n</think>"),
        ("<think>7</think>", ""),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("<|channel>thought\n", "<channel|>"),
        ("[THINK]", "[/THINK]"),
        ("<seed:think>", "\n</seed:think>"),
    ],
)
def test_a_thought_that_would_not_end_is_ended_before_the_model_is_asked(begun: str, end: str) -> None:
    loop = begun + ("The answer is \\boxed{7}. " * 9 if end else LOOPS[0])
    step = THINKING.at_the_limit(State(QUESTION), cut_off(loop))
    assert (step.text, step.ending) == (loop, "endless")
    state = State(QUESTION, (step,), (Execution(),))
    assert THINKING.reply(state) == loop + end + "\n\nThe final answer is \\boxed{"
    assert "".join(piece.text for piece in THINKING.pieces(state)) == THINKING.prompt(state)
    last = THINKING.parse(state, "14}.", ended=True)
    assert (last.ending, last.answer) == ("answer", "14")
    assert [own for _, own in reply_parts(THINKING, State(QUESTION, (step, last), (Execution(), Execution())))] == [
        True,
        False,
        True,
    ]


def test_a_thought_of_equal_paragraphs_is_ended_and_the_model_asked() -> None:
    steps = steps_of(ThinkingFormat(lambda messages: template(messages) + "<think>\n", INSTRUCT), "Hmm.\n\n" * 9)
    assert [step.ending for step in steps] == ["step", "step", "endless"]


@pytest.mark.parametrize("text", ["So:\n```python\nx = 1\nprint(", "So \\[ x + ", "  "])
def test_code_and_formulas_that_the_limit_cuts_off_are_truncated(text: str) -> None:
    assert TIR.at_the_limit(State(QUESTION), cut_off(text)).ending == "truncated"


def test_a_long_program_is_not_cut_at_a_blank_line() -> None:
    text = "First:\n```python\nx = 3 + 4\n\nprint("
    step = TIR.parse(State(QUESTION), text, ended=False)
    assert (step.text, step.ending) == (text, "truncated")
    assert TIR.recommended.max_step_tokens == 2048


@pytest.mark.parametrize("length", [2000, 2001, 60_000])
def test_of_a_long_output_the_policy_is_shown_the_beginning_and_the_end(length: int) -> None:
    output = "a" * (length // 2) + "z" * (length - length // 2)
    block, code = Step("```python\nf()\n```\n", code="f()\n"), Step("f()", code="f()", ending="code")
    state = State(QUESTION, (block,), (Execution(output + "\n"),))
    for shown in (TIR.reply(state), trajectory_text(State(QUESTION, (code,), (Execution(output + "\n"),)))):
        assert (output in shown) == (length == 2000)
        assert ("a" * 1000 + "\n... (output truncated) ...\n" + "z" * 1000 in shown) == (length > 2000)
    assert "".join(piece.text for piece in TIR.pieces(state)) == TIR.prompt(state)


def test_programs_are_cut_out_and_their_output_is_not_the_policys() -> None:
    reply = "Let us compute.\n\nFirst:\n```python\nx = 3 + 4\n\nprint(x)\n```\nIt is \\boxed{14}."
    state = State(QUESTION)
    first = TIR.parse(state, reply, ended=False)
    state = State(QUESTION, (first,), (Execution(),))
    second = TIR.parse(state, reply[len(first.text) :], ended=False)
    assert (second.code, second.ending) == ("x = 3 + 4\n\nprint(x)\n", "step")
    state = State(QUESTION, (first, second), (Execution(), Execution("7\n")))
    assert TIR.prompt(state).endswith("print(x)\n```\n```output\n7\n```\n")
    assert "".join(TIR.written(step) for step in state.steps) == reply[: reply.index("It is")]
    last = TIR.parse(state, "It is \\boxed{14}.", ended=True)
    assert last.answer == "14"


def test_a_program_within_a_list_is_not_indented() -> None:
    reply = "1. Add:\n   ```python\n   for x in [3, 4]:\n       print(x)\n   ```\n"
    step = TIR.parse(State(QUESTION), reply, ended=False)
    assert (step.text, step.code) == (reply, "for x in [3, 4]:\n    print(x)\n")


def test_output_that_the_model_makes_up_is_cut_off() -> None:
    step = TIR.parse(State(QUESTION), "```python\nprint(7)\n```\n```output\n8\n```\nIt is 8.", ended=True)
    assert (step.text, step.code, step.ending) == ("```python\nprint(7)\n```\n", "print(7)\n", "step")
    assert "```output" in TIR.stop_strings(State(QUESTION))


def test_a_block_at_the_very_end_waits_for_its_output() -> None:
    step = TIR.parse(State(QUESTION), "```python\nprint(7)\n```", ended=True)
    assert (step.code, step.ending) == ("print(7)\n", "step")
    assert TIR.reply(State(QUESTION, (step,), (Execution("7\n"),))) == "```python\nprint(7)\n```\n```output\n7\n```\n"


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        ("<think>\nIs it \\boxed{7}?\n\nNo.\n</think>\n\nIt is \\boxed{14}.", "14"),
        (
            "<|channel|>analysis<|message|>\\boxed{7}<|end|><|start|>assistant<|channel|>final<|message|>\\boxed{14}",
            "14",
        ),
        ("<think>\nIs it \\boxed{7}?\n\nI wonder", None),
        ("No thought: \\boxed{14}.", "14"),
        ("<think>\n\n</think>\n\n**14**", "14"),
        ("[THINK]Is it \\boxed{7}?\n\nNo.[/THINK]Seven twice is 14.", "14"),
        ("[THINK]Is it \\boxed{7}?\n\nI wonder", None),
        ("<seed:think>Is it \\boxed{7}?</seed:think>It is 14.", "14"),
        ("<think>\nIs it 7? No, the answer is \\boxed{14}.\n</think>\n", "14"),
        ("<think>\nIs it 7? I wonder.\n</think>\n", None),
    ],
)
def test_an_answer_is_only_what_follows_the_thought(thought: str, answer: str | None) -> None:
    assert steps_of(THINKING, thought)[-1].answer == answer


def test_a_thought_that_the_prompt_begins_is_a_thought() -> None:
    step_format = ThinkingFormat(lambda messages: template(messages) + "<think>\n", INSTRUCT)
    assert steps_of(step_format, "Is it \\boxed{7}?")[-1].answer is None
    assert steps_of(step_format, "Is it \\boxed{7}?\n</think>\n\n\\boxed{14}")[-1].answer == "14"


def test_limits_are_those_of_the_way_of_writing_and_of_the_context() -> None:
    assert COT.recommended.max_depth == 64
    assert THINKING.recommended.max_depth >= 1000
    assert CotFormat(template, INSTRUCT, context=1000).recommended.max_step_tokens == 250


@pytest.mark.parametrize(
    "text", ["-" * 5000 + "x", "# " * 5000, "**a**" * 2000, "\n" * 5000 + "x", "```\n" * 2001, "$$" * 4001]
)
def test_long_texts_that_almost_match_are_read_in_no_time(text: str) -> None:
    """Patterns that could try every way to split such a text would not return."""
    bare = CotFormat(plain_template, INSTRUCT)
    for step_format in (COT, TIR, THINKING, bare):
        for ended in (False, True):
            assert (text + "\n\nEnd").startswith(step_format.parse(State(QUESTION), text + "\n\nEnd", ended).text)
