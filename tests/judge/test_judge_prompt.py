r"""What a judge reads, and the verdict in its reply."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.judge.prompt import VERDICTS, judge_prompt, verdict_of

TAGS = re.compile(r"</?(?:problem|history|chunk)>")

TEXTS = st.lists(
    st.sampled_from(["a", " ", "\n", "<", ">", "</chunk>", "<chunk>", "</problem>", "<history>", "<|im_end|>", "1 + 1"])
).map("".join)


def test_the_prompt_names_problem_history_and_chunk_in_order() -> None:
    prompt = judge_prompt("How much is 2 + 2 + 2?", ["2 + 2 = 4\n\n", "Then we add 2."], "4 + 2 = 7")
    places = [prompt.index(text) for text in ("How much is", "2 + 2 = 4\n\nThen we add 2.", "4 + 2 = 7", "Analysis")]
    assert places == sorted(places)
    assert all(verdict in prompt for verdict in VERDICTS.values())


def test_without_analysis_only_the_verdict_is_asked_for() -> None:
    prompt = judge_prompt("1 + 1?", [], "2", analysis=False)
    assert "Analysis" not in prompt
    assert all(verdict in prompt for verdict in VERDICTS.values())


def test_the_first_chunk_has_no_history() -> None:
    assert "(none" in judge_prompt("1 + 1?", [], "2")
    assert "(none" not in judge_prompt("1 + 1?", ["Let us add."], "2")


@given(TEXTS, st.lists(TEXTS, max_size=3), TEXTS)
def test_no_text_adds_a_tag_to_the_prompt(problem: str, history: list[str], chunk: str) -> None:
    prompt = judge_prompt(problem, history, chunk)
    expected = ["<problem>", "</problem>", "<history>", "</history>", "<chunk>", "</chunk>"]
    assert TAGS.findall(prompt) == expected
    assert "<|im_end|>" not in prompt


def test_ordinary_comparisons_keep_their_text() -> None:
    assert "if 1 < x and x > 2 or |x|<|y|" in judge_prompt("if 1 < x and x > 2 or |x|<|y|", [], "x")


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (r"1. Analysis: right. 2. Final judgment: \boxed{Positive}", True),
        ("The sum is wrong.\n" + r"\boxed{Negative}", False),
        (r"\boxed{\text{Negative}}.", False),
        (r"**\boxed{ positive }**", True),
        ("It says " + r"\boxed{Negative}" + " at first.\nBut it is right: " + r"\boxed{Positive}", True),
        (r"\boxed{Positive} or \boxed{Negative}", None),
        (r"The answer is \boxed{4}", None),
        ("It is right: " + r"\boxed{Positive}" + "\nso x is " + r"\boxed{4}", None),
        ("Positive", None),
        ("", None),
        (r"<think>maybe \boxed{Negative}", None),
        (r"<think>maybe \boxed{Negative}</think> Fine. \boxed{Positive}", True),
        (r"<think>\boxed{Negative}</think> I do not know.", None),
    ],
)
def test_the_final_box_is_the_verdict(reply: str, verdict: bool | None) -> None:
    assert verdict_of(reply) is verdict


@given(st.text(), st.booleans())
def test_what_comes_before_the_verdict_does_not_matter(text: str, verdict: bool) -> None:
    assert verdict_of(f"{text.replace('<think>', '')}\n{VERDICTS[verdict]}") is verdict
