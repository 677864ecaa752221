"""The format for problems that ask for a program: prompts, steps, and the program in what a model wrote."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reply_steps import reply_steps
from support.tiny_model import tiny_model

from treestar.policy import TransformersPolicy
from treestar.policy.formats import CodeFormat, Message, family_named, step_format_for, step_format_named
from treestar.policy.programs import TestedPolicy, writing_programs
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.types import Execution, Policy, Problem, Proposal, Sampling, State, Step
from treestar.verifier.programs.unit_tests import UnitTestVerifier

HEAD = 'import math\n\n\ndef area(r):\n    """The area.\n\n    >>> area(0)\n    0.0\n    """\n'
FUNCTION = Problem(
    HEAD, "    return math.pi * r * r\n", "area", "code", {"entry_point": "area", "tests": "def check(f): pass"}
)
ASSERTS = Problem(
    "Write a function that adds.\nYour code should pass these tests:\n\nassert add(1, 2) == 3\n",
    id="add",
    kind="code",
    metadata={"tests": ["assert add(1, 2) == 3"]},
)
STREAMS = Problem(
    "Print twice the number.",
    id="twice",
    kind="code",
    metadata={"tests": [{"input": "4\n", "output": "8\n"}], "public_tests": [{"input": "1\n", "output": "2\n"}]},
)


def chat(messages: list[Message]) -> str:
    return "".join(f"<{each['role']}>{each['content']}</>" for each in messages) + "<assistant>"


def code_format(name: str = "instruct", is_base: bool = False) -> CodeFormat:
    made = step_format_named("code", chat, family_named(name), is_base=is_base)
    assert isinstance(made, CodeFormat)
    return made


# --- prompts ---------------------------------------------------------------------------------------------------------


def test_an_instruct_model_is_asked_in_its_own_words() -> None:
    form = code_format()
    asked = form.prompt(State(FUNCTION))
    assert asked.startswith("<user>Complete the following Python function.")
    assert asked.endswith("</><assistant>")
    assert f"```python\n{HEAD.strip()}\n```" in asked
    assert "assert add(1, 2) == 3" in form.prompt(State(ASSERTS))
    assert "standard input" in form.prompt(State(STREAMS))
    assert all("python block" in form.prompt(State(each)) for each in (FUNCTION, ASSERTS, STREAMS))


def test_a_base_model_continues_the_question() -> None:
    form = code_format(is_base=True)
    assert form.prompt(State(FUNCTION)) == HEAD
    assert form.prompt(State(STREAMS)) == '"""\nPrint twice the number.\n"""\n'
    assert set(form.stop_strings(State(FUNCTION))) == {*("\n\n", "\nclass", "\ndef", "\n#", "\nif __name__", "\nprint")}


def test_hidden_tests_are_never_shown() -> None:
    for is_base in (False, True):
        form = code_format(is_base=is_base)
        assert "8" not in form.prompt(State(STREAMS))
        assert "check" not in form.prompt(State(FUNCTION))


# --- which models write it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cot", "tir", "thinking", "chat"])
def test_ordinary_models_write_programs_in_this_format(name: str) -> None:
    made = step_format_named(name, chat)
    assert made.name == name
    assert isinstance(made.code_format, CodeFormat)


@pytest.mark.parametrize("name", ["rstar", "bound", "code"])
def test_other_formats_stay_as_they_are(name: str) -> None:
    assert step_format_named(name, chat).code_format is None


def tiny_policy(template: str | None) -> TransformersPolicy:
    from copy import deepcopy

    model, tokenizer = tiny_model()
    tokenizer = deepcopy(tokenizer)
    tokenizer.chat_template = template
    return TransformersPolicy(model, tokenizer, step_format_for(model.config, tokenizer, "chat"), "tiny")


TEMPLATE = "{% for message in messages %}[{{ message.content }}]{% endfor %}>"


@pytest.mark.parametrize(("template", "is_base"), [(TEMPLATE, False), (None, True)])
def test_a_real_model_proposes_blocks_of_a_program(template: str | None, is_base: bool) -> None:
    policy = tiny_policy(template)
    writing = writing_programs(policy)
    assert isinstance(writing, TransformersPolicy)
    assert (policy.format.name, writing.format.name) == ("chat", "code")
    assert writing.recommended.max_step_tokens == 128, "a quarter of the tiny model's context"
    assert writing_programs(writing) is writing

    async def main() -> tuple[Proposal, Proposal]:
        sampling = Sampling(temperature=1.0, max_tokens=24)
        state = State(replace(ASSERTS, question="add"))
        first = await writing.propose(state, 3, sampling, seed=1)
        after = State(state.problem, (first.steps[0],), (Execution(),))
        return first, await writing.propose(after, 1, sampling, seed=2)

    first, second = asyncio.run(main())
    assert len(first.steps) == 3
    assert all(step.tokens <= 24 and not step.code for step in first.steps)
    prompt = writing.format.prompt(State(replace(ASSERTS, question="add")))
    assert prompt.startswith('"""' if is_base else "[")
    assert second.prompt_tokens >= first.prompt_tokens


# --- steps -----------------------------------------------------------------------------------------------------------


REPLY = (
    "Here is the function:\n\n```python\nimport math\n\nPI = math.pi\n\n\ndef area(r):\n"
    '    """The area.\n\n    Of a circle.\n    """\n    return PI * r * r\n```\n\nIt multiplies.'
)


def test_steps_are_blocks_between_blank_lines() -> None:
    steps = reply_steps(code_format(), FUNCTION, REPLY)
    assert "".join(step.text for step in steps) == REPLY, "nothing is lost or added"
    assert [step.ending for step in steps] == ["step"] * 3 + ["answer"]
    assert [step.text.strip().splitlines()[0] for step in steps] == [
        "Here is the function:",
        "PI = math.pi",
        "def area(r):",
        "It multiplies.",
    ]
    assert all(step.code == "" for step in steps)


def test_a_string_that_is_never_closed_does_not_hold_all_that_follows() -> None:
    form = code_format()
    text = 'x = """a\n\nb\n\n'
    assert form.goes_on(text)
    assert form.parse(State(STREAMS), text + "c" * 40, False).text == 'x = """a\n\n'
    assert form.parse(State(STREAMS), "x = 1", False).ending == "truncated"


def test_a_reply_that_repeats_itself_has_ended() -> None:
    steps = reply_steps(code_format(), STREAMS, "print(int(input()) * 2)\n\n" + "x = 1\n\n" * 60)
    assert len(steps) == 4
    assert steps[-1].ending == "answer"


# --- the program in the reply ----------------------------------------------------------------------------------------


AREA = "def area(r):\n    return math.pi * r * r\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{AREA}```",
        f"```python\nimport math\n\n{AREA}```\nDone.",
        f"```\n{AREA}```",
        f"~~~py\n{AREA}~~~",
        f"Sure!\n\n```Python3\n{AREA}",
        f"First try:\n```python\ndef area(r):\n    return r\n```\nThat forgets pi. Corrected:\n```python\n{AREA}```",
        f"```python\n{AREA}```\n\nUse it:\n\n```python\nprint(area(2))\nx = int(input())\n```\n```output\n12\n```",
        f"```python\n{AREA}\nr = float(input())\nprint(area(r))\nassert area(1) == 3\n```",
        f"```python\n{AREA}```\n```python\ndef area(r):\n    return r *\n```",
        "1. Do this:\n   ```python\n   def area(r):\n       return math.pi * r * r\n   ```\n",
        f"The function is\n\n{AREA}\nfrom which you see that it works.\nArea is positive.",
        "    return math.pi * r * r\n",
        "return math.pi * r * r",
        "```python\n    return math.pi * r * r\n```",
        "if r < 0:\n        raise ValueError\n    return math.pi * r * r",
        "```\nsquare = r * r\nreturn math.pi * square\n```",
        "The body is:\n\n    return math.pi * r * r\n\nThat is all.",
        f"```python\n{HEAD}    return math.pi * r * r\n```",
        "```python\nfrom __future__ import annotations\nfrom functools import *\n\n@lru_cache(None)\n" + AREA + "```",
        "```python\narea = lambda r: math.pi * r * r\n```",
        "Helper:\n```python\nimport math\nSQUARE = 2\ndef power(x):\n    return x ** SQUARE\n```\n"
        "Then\n```python\ndef area(r):\n    return math.pi * power(r)\n```",
        f"<think>\n```python\ndef area(r):\n    return 0\n```\n</think>\n\n```python\n{AREA}```",
    ],
)
def test_the_last_complete_definition_counts_wherever_it_is(reply: str) -> None:
    program = reply_steps(code_format(), FUNCTION, reply)[-1].answer
    assert program is not None
    assert program.startswith(("import math", "from __future__"))
    namespace: dict[str, object] = {}
    exec(program, namespace)
    area = namespace["area"]
    assert callable(area)
    assert area(1) == pytest.approx(3.14159, abs=1e-4)
    assert "print(" not in program
    assert "input(" not in program


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot do that.",
        "Yes",
        "```python\ndef other(r):\n    return 1\n```",
        "```python\ndef area(r:\n    return 1\n```",
        "```python\nprint('area')\n```",
        "<think>\n" + f"```python\n{AREA}```",
        "```python\n" + "(" * 3000 + "\n```",
    ],
)
def test_a_reply_without_a_program_has_no_answer(reply: str) -> None:
    form = code_format()
    step = reply_steps(form, FUNCTION, reply)[-1]
    assert (step.ending, step.answer) == ("answer", None)
    assert form.final_answer(step, Execution()) == ""


TWICE = "n = int(input())\nprint(2 * n)\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{TWICE}```",
        f"This reads a number:\n\n```\n{TWICE}```\n\nInput:\n```\n4\n```\nOutput:\n```\n8\n```\n",
        f"```python\nprint('first try')\n```\nBetter:\n```python\n{TWICE}```",
        TWICE,
        f"The program:\n\n{TWICE}\nIt doubles the number.",
    ],
)
def test_a_whole_program_is_found_and_kept_whole(reply: str) -> None:
    program = reply_steps(code_format(), STREAMS, reply)[-1].answer
    assert program is not None
    assert program.strip() == TWICE.strip()


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        ("    return 1\n\n\ndef other():\n    pass\n", "    return 1\n"),
        ("    x = r\n\n    return x\n\nprint(area(1))\n", "    x = r\n\n    return x\n"),
        ("    return 2\n# That was it\n", "    return 2\n"),
        ("    return 3\n\nif __name__ == '__main__':\n    main()", "    return 3\n"),
        ("    return 4\n\nclass A:\n    pass\n", "    return 4\n"),
        ("    return 5", "    return 5\n"),
    ],
)
def test_a_base_model_s_program_ends_where_something_else_begins(reply: str, body: str) -> None:
    steps = reply_steps(code_format(is_base=True), FUNCTION, reply)
    assert steps[-1].ending == "answer"
    assert steps[-1].answer == HEAD + body


# --- public tests ----------------------------------------------------------------------------------------------------


class RepliesPolicy(Policy):
    """Answers with given programs."""

    def __init__(self, *programs: str | None) -> None:
        self.steps = tuple(Step("x", ending="answer", answer=program) for program in programs)

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        return Proposal(self.steps)


def kept(problem: Problem, *programs: str | None) -> list[bool]:
    async def main() -> Proposal:
        executor = SandboxExecutor(SandboxConfig(seconds=60.0))
        try:
            policy = TestedPolicy(RepliesPolicy(*programs), UnitTestVerifier(executor))
            return await policy.propose(State(problem), len(programs), Sampling(), 0)
        finally:
            await executor.close()

    return [step.answer is not None for step in asyncio.run(main()).steps]


def test_public_tests_decide_what_is_an_answer_and_hidden_ones_do_not() -> None:
    assert kept(STREAMS, TWICE, "print(2)", "print(3)", "1 / 0", None, "print(2)") == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    head = HEAD.partition('"""')[0]
    assert kept(FUNCTION, f"{head}    return 0.0\n", f"{head}    return 1.0\n") == [True, False]
    assert kept(replace(FUNCTION, question=f"{head}    ...\n"), "area = 1") == [True], (
        "without examples nothing is tested"
    )


# --- nothing raises --------------------------------------------------------------------------------------------------


pieces = st.lists(
    st.sampled_from(
        [
            "```python\n",
            "```\n",
            "```",
            "def area(r):\n",
            "    return 1\n",
            "\n\n",
            '"""',
            "print(",
            "<think>",
            "\nclass",
        ]
    )
    | st.sampled_from(["</think>", "\ndef", "\n#", "import math\n", "@", "    ", "'''", "~~~\n", "\n"])
    | st.text(max_size=8),
    max_size=14,
).map("".join)


@settings(max_examples=300)
@given(reply=pieces, problem=st.sampled_from([FUNCTION, ASSERTS, STREAMS]), is_base=st.booleans())
def test_any_reply_is_cut_into_steps_and_nothing_is_lost(reply: str, problem: Problem, is_base: bool) -> None:
    steps = reply_steps(code_format(is_base=is_base), problem, reply)
    text = "".join(step.text for step in steps)
    assert reply.startswith(text)
    assert text == reply or is_base or len(steps) > 2, "only a base model's program, or a loop, ends before the reply"
    assert all(step.ending == "step" for step in steps[:-1])
    assert all(step.answer is None for step in steps[:-1])
