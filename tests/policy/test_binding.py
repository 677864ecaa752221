"""Number binding: recognizing numbers, naming them, and restoring the values."""

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.policy.formats.binding import FIXED_START, LONGEST_NUMBER, NAME_COUNT, Binding, bind_numbers, show_values

QUESTIONS = st.text() | st.text(alphabet="n0123456789.,-$%/ ax_()\n°€", max_size=80)


@pytest.mark.parametrize(
    ("question", "bound", "literals"),
    [
        ("gets 160 emails, 30% of", "gets n3 emails, n4% of", ["160", "30"]),
        ("a budget of $1,200,300.50.", "a budget of $n3.", ["1200300.50"]),
        ("these numbers: 780, 461", "these numbers: n3, n4", ["780", "461"]),
        ("3/4 of 0.75 or .75", "n3/n4 of n5 or n6", ["3", "4", "0.75", "0.75"]),
        ("Calculate ( -5 - -12 ) * 7.", "Calculate ( -n3 - -n4 ) * n5.", ["5", "12", "7"]),
        ("155.0°, 26.0°.", "n3°, n4°.", ["155.0", "26.0"]),
        ("a 12-inch box, 5km away", "a n3-inch box, n4 km away", ["12", "5"]),
        ("the 2nd of 3 at x2 and B12", "the 2nd of n3 at x2 and B12", ["3"]),
        ("3*x + 4 = -19", "n3*x + n4 = -n5", ["3", "4", "19"]),
        ("agent 007 and 000", "agent n3 and n4", ["7", "0"]),
        ("n4 is 5 and 6", "n4 is n3 and n5", ["5", "6"]),
        ("no numbers", "no numbers", []),
    ],
)
def test_numbers_are_recognised(question: str, bound: str, literals: list[str]) -> None:
    binding = bind_numbers(question)
    assert binding.question == bound
    assert [literal for _, literal in binding.values] == literals


def test_names_follow_one_another_from_the_start() -> None:
    assert FIXED_START == 3
    assert [name for name, _ in bind_numbers("1 2 3", 7).values] == ["n7", "n8", "n9"]


def test_equal_numbers_have_names_of_their_own() -> None:
    assert bind_numbers("8 and 8").values == (("n3", "8"), ("n4", "8"))


def test_the_preamble_assigns_every_value() -> None:
    scope: dict[str, object] = {}
    exec(bind_numbers("1,200 at 3.50").preamble, scope)
    assert (scope["n3"], scope["n4"]) == (1200, 3.5)
    assert bind_numbers("none").preamble == ""


def test_numbers_beyond_the_last_name_stay_digits() -> None:
    binding = bind_numbers(" ".join(str(number) for number in range(100, 160)))
    assert len(binding.values) == NAME_COUNT - FIXED_START
    assert binding.question.endswith("158 159")


def test_a_number_too_long_for_python_stays_digits() -> None:
    question = "7 and " + "9" * 5000
    assert bind_numbers(question).question == "n3 and " + "9" * 5000
    assert len(bind_numbers("1" * LONGEST_NUMBER).values) == 1


def test_values_are_shown_at_word_boundaries_only() -> None:
    binding = Binding("", (("n3", "160"), ("n30", "-4")))
    assert show_values("a = n3 * n30 # n3, n31, xn3, n3x", binding) == "a = 160 * (-4) # 160, n31, xn3, n3x"


@given(QUESTIONS, st.integers(0, NAME_COUNT + 5))
def test_binding_never_raises_and_its_preamble_is_python(question: str, start: int) -> None:
    binding = bind_numbers(question, start)
    ast.parse(binding.preamble)
    assert len({name for name, _ in binding.values}) == len(binding.values)
    assert all(name in binding.question for name, _ in binding.values)
    assert bind_numbers(question, start) == binding


@given(QUESTIONS)
def test_showing_the_values_gives_back_the_numbers(question: str) -> None:
    binding = bind_numbers(question)
    shown = show_values(binding.question, binding)
    assert not any(re.search(rf"\b{name}\b", shown, re.ASCII) for name, _ in binding.values)


@given(QUESTIONS, QUESTIONS)
def test_showing_values_never_raises(text: str, question: str) -> None:
    assert isinstance(show_values(text, bind_numbers(question)), str)
    assert show_values(text, Binding("")) == text
