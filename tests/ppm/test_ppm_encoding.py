"""The input of the process preference model: prefixes stay prefixes, and step ends are where the steps end."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_model

from treestar.policy import ChatFormat, RStarFormat, StepFormat
from treestar.policy.formats import BoundFormat, plain_template
from treestar.policy.models import shipped_path
from treestar.ppm.encoding import check_step_ends, encode, segments
from treestar.types import Execution, Problem, State, Step, TreestarError

MODEL_PATH = shipped_path("policy", "toy")

FORMATS: list[StepFormat] = [RStarFormat(), BoundFormat(), ChatFormat(plain_template)]

SOLVED = State(
    Problem("How much is 2 and 3?"),
    (Step("a = 2", "a = 2"), Step("print(a + 3)", "print(a + 3)", "code"), Step("\\boxed{5}", ending="answer")),
    (Execution(), Execution("5\n"), Execution()),
)


@cache
def toy_tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(MODEL_PATH))


def text(limit: int) -> st.SearchStrategy[str]:
    pieces = st.sampled_from(["<end_of_step>", "<answer>", "\n", "\n\n", " ", "n3 + n4", "x = 1", "print(x)", "12.5"])
    return st.lists(pieces | st.text(max_size=6), max_size=limit).map("".join)


@st.composite
def states(draw: st.DrawFn) -> State:
    endings = draw(st.lists(st.sampled_from(["step", "prose", "code", "answer", "truncated"]), max_size=5))
    steps = []
    for ending in endings:
        body = draw(text(4))
        code = body if ending in ("step", "code") else ""
        steps.append(Step(body, code, "step" if ending == "prose" else ending))  # type: ignore[arg-type]
    executions = [Execution(draw(text(2)), draw(st.sampled_from([None, "NameError: x"]))) for _ in steps]
    return State(Problem(draw(text(6))), tuple(steps), tuple(executions))


@settings(max_examples=150)
@given(state=states())
@pytest.mark.parametrize("step_format", FORMATS, ids=lambda each: each.name)
def test_tokens_and_ends_of_a_state_are_a_prefix_of_those_of_any_longer_one(
    step_format: StepFormat, state: State
) -> None:
    tokenizer = toy_tokenizer()
    whole = encode(tokenizer, step_format, state)
    assert len(whole.ends) == len(state.steps) + 1
    assert whole.ends[-1] == len(whole.ids) - 1
    for depth in range(len(state.steps) + 1):
        shorter = encode(tokenizer, step_format, State(state.problem, state.steps[:depth], state.executions[:depth]))
        assert shorter.ids == whole.ids[: len(shorter.ids)]
        assert shorter.ends == whole.ends[: depth + 1]


@given(state=states())
@pytest.mark.parametrize("step_format", FORMATS, ids=lambda each: each.name)
def test_the_text_read_is_the_policys_prompt(step_format: StepFormat, state: State) -> None:
    """All of it except the opening of the next step."""
    prompt = step_format.prompt(state)
    read = "".join(segments(step_format, state))
    assert prompt.startswith(read)
    assert prompt[len(read) :].strip() in ("", "<answer>")


def test_steps_end_at_their_tags() -> None:
    tokenizer = toy_tokenizer()
    encoded = encode(tokenizer, RStarFormat(), SOLVED)
    tags = [tokenizer.convert_ids_to_tokens(encoded.ids[end]) for end in encoded.ends]
    assert tags[0].endswith("<code>")
    assert tags[1:] == ["<end_of_step>", "<end_of_output>", "<end_of_answer>"]
    assert segments(RStarFormat(), SOLVED)[1:] == [
        "\na = 2\n<end_of_step>",
        "\nprint(a + 3)\n<end_of_code>\n<output>5<end_of_output>",
        "\n<answer>\\boxed{5}<end_of_answer>",
    ]


def test_segments_give_the_tokens_of_the_whole_text_where_the_tags_are_tokens() -> None:
    tokenizer = toy_tokenizer()
    whole = tokenizer("".join(segments(RStarFormat(), SOLVED)), add_special_tokens=False)["input_ids"]
    assert encode(tokenizer, RStarFormat(), SOLVED).ids == whole


def test_a_blank_paragraph_ends_where_the_step_before_it_does() -> None:
    state = State(Problem("Why?"), (Step("Because."), Step("")), (Execution(), Execution()))
    ends = encode(toy_tokenizer(), FORMATS[2], state).ends
    assert ends[0] < ends[1] == ends[2]


class CountingFormat(RStarFormat):
    """States at the start how many steps follow."""

    def prompt(self, state: State) -> str:
        return f"{len(state.steps)} steps. {super().prompt(state)}"


def test_a_format_that_changes_earlier_text_is_refused() -> None:
    with pytest.raises(TreestarError, match="step 1 of problem 'How much is 2 and 3\\?' changes the text"):
        encode(toy_tokenizer(), CountingFormat(), SOLVED)


@pytest.mark.parametrize("step_format", FORMATS, ids=lambda each: each.name)
def test_a_policy_with_step_ends_passes(step_format: StepFormat) -> None:
    check_step_ends(toy_tokenizer(), step_format, "toy")
    check_step_ends(tiny_model()[1], step_format, "tiny")


def test_a_policy_without_step_ends_is_refused() -> None:
    """A tokenizer of whole words that does not know the tags."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "x": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    with pytest.raises(TreestarError, match="'words' has no step ends"):
        check_step_ends(tokenizer, RStarFormat(), "words")
