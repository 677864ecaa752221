"""Finding the final answer in a text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.verifier import extract_answer
from treestar.verifier.extraction.replies import boxed_contents


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("James responds to \\boxed{560} emails.", "560"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("First \\boxed{1}. That was wrong. In the end we have another value, namely \\boxed{2}.", "2"),
        ("\\boxed{\\boxed{7}}", "7"),
        ("$\\boxed{ \\{1, 2\\} }$", "\\{1, 2\\}"),
        ("The roots are $\\boxed{2}$ and $\\boxed{3}$.", "2, 3"),
        ("\\boxed{5} never closed \\boxed{6", "5"),
        ("\\fbox{9}", "9"),
        ("\\boxed {4}", "4"),
        ("some text\n#### 1,234", "1,234"),
        ("The answer is 42.", "42"),
        ("The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}"),
        ("Answer: (B)", "(B)"),
        ("**Answer:** 12", "12"),
        ("The answer is **42**.", "42"),
        ("The answer is **1/2** of them. That is all.", "1/2"),
        ("The answer is __$40__. Done!", "$40"),
        ("So the answer is **42** dollars", "42 dollars"),
        ("The answer is 2**3.", "2**3"),
        ("The answer is 2 hours and 30 minutes.", "2 hours and 30 minutes"),
        ("The answer is approximately 3.14.", "3.14"),
        ("The answer is about $3.50.", "$3.50"),
        ("The answer is Friday.", "Friday"),
        ("The day is **Wednesday**.", "Wednesday"),
        ("It will be a Wednesday.", "Wednesday"),
        ("So the date is March 15, 2024.", "March 15, 2024"),
        ("The deadline falls on **Friday, 3rd May 2024**.", "Friday, 3rd May 2024"),
        ("It will be July 4.", "July 4"),
        ("Therefore, **Tom** has the most apples.", "Tom"),
        ("There are **three** r's in it.", "three"),
        ("Tom has more than **Ann** and **Bob**.", None),
        ("We compare them.\n\n**Final Answer**", None),
        ("I add **2** and get 5.\n\n**Check** it yourself.", "5"),
        ("Hence, option C.", "C"),
        ("Hence $\\frac{1}{t} - 4 = 0$.", "\\frac{1}{t} - 4 = 0"),
        ("Hence, only $7$ works for $S_{12}$.", "7"),
        ("The sum is $10$. Note that $3$ and $7$ are primes.", "10"),
        ("The total is $2n = 34 \\text{ apples}$.", "34 \\text{ apples}"),
        ("Hence $2\\theta = 6$.", "2\\theta = 6"),
        ("So $2e^{x} = 5$.", "2e^{x} = 5"),
        ("There are infinitely many solutions.", "infinitely many solutions"),
        ("The limit does not exist.", "does not exist"),
        ("So the slope is undefined.", "undefined"),
        ("[THINK]Is it \\boxed{7}?[/THINK]It is 14.", "14"),
        ("<|channel|>analysis<|message|>\\boxed{7}<|end|><|start|>assistant<|channel|>final<|message|>It is 14.", "14"),
        ("So there are 12 red and 5 blue balls, which makes 17 balls.", "17"),
        ("Therefore, $x < 5$ is the solution.", "x < 5"),
        ("It costs $1,000.99 in all", "$1,000.99"),
        ("The probability is 2/3. <|im_start|>user", "2/3"),
        ("We get \\[ x = 3 \\] as claimed.", "x = 3"),
        ("so the solutions are $1$, $2$ and $3$.", "1, 2, 3"),
        ("I do not know.", None),
        ("AZ2K5B", None),
        ("", None),
        ("\\boxed{}", None),
    ],
)
def test_the_answer_is_what_the_text_states_last_and_most_plainly(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_boxes_are_found_outermost_first_with_balanced_braces() -> None:
    assert boxed_contents("\\boxed{a{b}c} and \\boxed{\\text{d\\}}}") == ["a{b}c", "\\text{d\\}}"]
    assert boxed_contents("\\boxed{a} \\boxed{b") == ["a"]
    assert boxed_contents("no box") == []


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 30_000,
        "{" * 200_000,
        "$" * 100_001,
        "\\[" * 100_000,
        "\\(" * 100_000,
        " " * 200_000 + "I hope",
        "answer " * 30_000,
        "answer is " * 20_000,
        "1," * 100_000,
        "-" * 200_000,
        "7" * 200_000,
        "\\boxed{1}, " * 20_000,
        "final answer is " * 12_000,
        "\n" * 200_000,
        "Problem: \\boxed{1} " * 8_000,
        "Question: answer\n" * 10_000,
        "<<" * 90_000,
        "$5 and " * 28_000,
        "**" * 90_000,
        "[1 2 " * 40_000,
        "(x < 1) | " * 20_000,
        "\\begin{a}" * 20_000,
        "result is 7. " * 15_000,
        "The answer is 5, as " * 8_000,
        "The answer is 5" + " (a" * 60_000,
        "The answer is 5" + " " * 50_000 + "x",
        "The answer is 5 apples " + "or about 5 " * 15_000,
        " *a" * 60_000,
        "__a " * 50_000,
        "7 hours and " * 16_000,
        "ratio 7 : " * 20_000,
        "negative " * 22_000,
        "are:\n- $x$\n" * 15_000,
        "7" + " " * 190_000 + "p.m.",
        "\\boxed{{ }" + " " * 190_000 + "x",
        "(" * 200_000 + "x",
        "*" * 199_999 + "x",
        "$" + "{" * 50_000 + "$",
        "$" + "**" * 25_000 + "$",
        "The answer is " + "'" * 50_000,
        "}\\boxed{" * 20_000,
        "5 or" + " " * 100_000 + "\\boxed{6",
        "5 when " * 25_000,
        "5. Check " * 20_000,
        "I used 5. " * 18_000,
        "option A " * 20_000,
        "The probability of 1 in " * 8_000,
        "are:\n1. $x$\n" * 15_000,
        "\\boxed 5 " * 20_000,
        "[asy]" * 40_000,
        "there are 5, " * 15_000,
        "(A b. " * 30_000 + ")",
        "$n$ for " * 25_000,
        "$x = " + "(" * 3_900 + "= 1$",
        "one plus two times " * 5_000,
        "1 plus 1 minus " * 6_000,
    ],
)
def test_extraction_takes_no_longer_than_the_text_is_long(text: str) -> None:
    started = time.thread_time()
    extract_answer(text)
    assert time.thread_time() - started < 2.0


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_no_text_makes_extraction_raise(text: str) -> None:
    assert extract_answer(text) is None or extract_answer(text)


@given(st.text(alphabet="abc123+-{}\\$ ", max_size=30))
def test_a_balanced_box_is_found_whatever_stands_before_it(text: str) -> None:
    assert boxed_contents(f"{text}\n\\boxed{{42}}")[-1:] == ["42"] or "\\boxed" in text or text.endswith("\\")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7 minus four.", "7 - 4"),
        ("seven minus four", "7 - 4"),
        ("The answer is 7 plus 4.", "7 + 4"),
        ("The final answer is 7 times two.", "7 * 2"),
        ("So she has **twenty-one minus 4 plus two**.", "21 - 4 + 2"),
        ("Twenty divided by 4", "20 / 4"),
        ("7 - four", "7 - 4"),
        ("She pays $7 minus four.", "$7 - 4"),
        ("It is minus four plus 3.", "- 4 + 3"),
        ("7 minus four is 3.", "3"),
        ("2 plus 2 is 4, minus one is 3.", "3"),
        ("He came 3 times two days ago.", "3"),
        ("2 - one red and one blue", "2"),
        ("The answer is 7, minus four.", "7"),
        ("The answer is 12 times.", "12 times"),
        ("7 minus four thirds", "7"),
        ("two hundred five minus 3.", "3"),
        ("20% minus 5%", "5%"),
        ("He has 12 plus two times the number of sodas.", "12"),
    ],
)
def test_a_calculation_in_words_is_read_as_a_whole(text: str, answer: str) -> None:
    """Where all of it is numbers that are read: not of larger ones."""
    assert extract_answer(text) == answer
