"""Finding the final answer in a text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.verifier import extract_answer
from treestar.verifier.grading.extraction import boxed_contents


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


REPLIES = [
    ("The total cost is \\$29.00.", "\\$29.00"),
    ("He earns $5 and she earns $7, so together $12", "$12"),
    ("It costs $3 x 4 = $12.", "$12"),
    ("Profit is $1,200 - $800 = $400 per month", "$400"),
    ("Total: $15.50 in cash", "$15.50"),
    ("She has $20 left", "$20"),
    ("The price is $x = 5$ dollars for $3$ items", "3"),
    ("Together they have 5$", "5$"),
    ("Therefore the area is 3*pi", "3*pi"),
    ("so it equals sqrt(2)/2", "sqrt(2)/2"),
    ("Hence we get x^2 + 2x + 1", "x^2 + 2x + 1"),
    ("which leaves 7/8 of the cake", "7/8"),
    ("Thus the minimum is -3", "-3"),
    ("the answer equals 2pi/3 radians", "2pi/3"),
    ("so the point is (3, -4).", "(3, -4)"),
    ("So the range is (-oo, 3]", "(-oo, 3]"),
    ("This gives 3:4", "3:4"),
    ("the remainder is 5.", "5"),
    ("The value of the sum is \\frac{\\pi^2}{6}.", "\\frac{\\pi^2}{6}"),
    ("Hence the length is 5\\sqrt{2} cm.", "5\\sqrt{2}"),
    ("The result follows as n=10, m=3 so \\binom{10}{3} = 120", "120"),
    ("\\boxed{4}. Hmm, no: \\boxed{6}", "6"),
    ("We get \\boxed{3} or \\boxed{-3}.", "3, -3"),
    ("\\boxed{\\sqrt{2}} \\approx \\boxed{1.414}", "\\sqrt{2}"),
    ("\\boxed{8} (the format is \\boxed{...})", "8"),
    ("\\boxed{9}\nPut it as \\boxed{\\text{answer}}", "9"),
    ("\\boxed{2} was my first idea. Final Answer: 11", "11"),
    ("\\boxed{2}\n#### 12", "12"),
    ("\\boxed{7}\n\n#### Explanation of step 3", "7"),
    ("\\boxed{7}\n\nThe answer is given to 3 digits.", "7"),
    ("\\boxed{7}\nFinal answer: see above", "7"),
    ("The answer is 5.\n\nQuestion: What is 3+3?\nThe answer is 6.", "5"),
    ("Problem 1: compute 2+2. The answer is 4.\n\nProblem 2: compute 3+3. The answer is 6.", "4"),
    ("Die Antwort ist 11.", "11"),
    ("La réponse est 11.", "11"),
    ("Ответ: 11.", "11"),
    ("Ответ — 11.", "11"),
    ("答案是 11。", "11"),
    ("答えは11です。", "11"),
    ("答案：11", "11"),
    ("Jibu ni 11.", "11"),
    ("คำตอบคือ 11", "11"),
    ("উত্তর হল 11।", "11"),
    ("So hat Anna 12 Äpfel.", "12"),
    ("Ainsi, il reste 15 pommes.", "15"),
    ("Поэтому у Пети осталось 7 яблок.", "7"),
    ("よって、3個のりんごが残ります。", "3"),
    ("共有25人。", "25"),
    ("El resultado es 3,5.", "3,5"),
    ("Das Ergebnis lautet $\\frac{3}{4}$.", "\\frac{3}{4}"),
    ("**12**", "12"),
    ("<think>maybe \\boxed{3}</think>\nThe answer is \\boxed{4}", "4"),
    ("<think>so</think><answer>15</answer>", "15"),
    ("The answer is 42. I used 3 methods.", "42"),
    ("The answer is (B).", "(B)"),
    ("The answer is B", "B"),
    ("Answer: x = 4", "x = 4"),
    ("the number of ways is 5! = 120", "120"),
    ("Probability = 0.25", "0.25"),
    ("Thus a = 3 and b = 4", "3, 4"),
    ("there are 5 apples in 3 baskets", "3"),
    ("so 45 degrees", "45"),
    ("= 12", "12"),
    ("2+2=4", "4"),
    ("There's 1 solution.", "1"),
    ("So I get A = 5", "5"),
    ("This means 25% of them.", "25%"),
    ("so the vector is \\begin{pmatrix}1\\\\2\\end{pmatrix}.", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ("so the set is {1, 2, 3}", "{1, 2, 3}"),
    ("so f(x) = 2x + 1", "2x + 1"),
    ("Then x equals 3 and a half", "3"),
    ("so x > 5", "x > 5"),
    ("so -1 < x < 2.", "-1 < x < 2"),
    ("so 2x + 3y = 6", "2x + 3y = 6"),
    ("the value is e^2", "e^2"),
    ("which is 10^5 + 1", "10^5 + 1"),
    ("so we are left with 1 - 1/e.", "1 - 1/e"),
    ("equals pi", "pi"),
    ("\\boxed{12}\n\nYour answer should be given as \\boxed{...}.", "12"),
    ("\\boxed{3}\n\nAnswer: 9", "9"),
    ("#### 11\n\nQ: Tom has 3.\nA: 3\n#### 3", "11"),
    ("So the answer is 4.\n\nExercise 5. Find z.\nThe answer is 6.", "4"),
    ("Answer: 3\n\nHuman: next one\nAnswer: 9", "3"),
    ("Mark your solution with \\boxed . The sum is 12, so the result is $12$.", "12"),
    ("\\boxed{\\frac{11}{2^{20}}.", "\\frac{11}{2^{20}"),
]
"""Money, bare formulas, corrected and empty boxes, later statements, further questions, thoughts, other languages."""

STATEMENTS = [
    ("\\boxed{14}\n\nVerification: subtracting 7, the result is 7, which matches.", "14"),
    ("The result of 3 + 4 is 7.\n\nThen we double it: 7 × 2 = 14. Therefore Tom has 14 apples.", "14"),
    ("Step 1: 3*7. Result: 21\nStep 2: 21-5. Result: 16\n\nTom has 16 apples.", "16"),
    ("We add them. The result is 21.", "21"),
    ("The answer is 12, since she gave away 3.", "12"),
    ("The answer is 12 because 15 - 3 = 12.", "12"),
    ("The answer is 7, not 8.", "7"),
    ("**Final Answer:** 14 apples were sold on day 2.", "14"),
    ("The answer is $14 after a 20% discount.", "$14"),
    ("The answer is 2.67 (to 2 decimal places).", "2.67"),
    ("The answer is 2.67 to 2 decimal places.", "2.67"),
    ("The answer is 7/12 (about 58.3%).", "7/12"),
    ("The answer is 7/12, or approximately 0.583.", "7/12"),
    ("The answer is $\\frac{7}{12}$, which is approximately $0.583$.", "\\frac{7}{12}"),
    ("The probability is 7/12, or about 58.3%.", "7/12"),
    ("Therefore, the probability is $\\frac{7}{12}$ (about 58.3%).", "\\frac{7}{12}"),
    ("He walked 3 miles in about 20 minutes.", "20"),
    ("It costs 5 dollars, or about 4 euros.", "4"),
    ("The answer is 5 (mod 7).", "5 (mod 7)"),
    ("The answer is 3 (\\sqrt{2} + 1).", "3 (\\sqrt{2} + 1)"),
    ("The answer is 1/2 of 24, which is 12.", "12"),
    ("The answer is 12 apples and 5 pears.", "5"),
    ("The answer is 3 red 4 blue.", "4"),
    ("The answer is 2 hours 30 minutes later.", "2 hours 30 minutes"),
    ("It takes 2 hours and 30 minutes.", "2 hours and 30 minutes"),
    ("Total: $6 + $4 = **$10**.", "$10"),
    ("So **x = 5**.", "5"),
    ("The solutions are **x = 5** and **x = -3**.", "5, -3"),
    ("The answer is 5.\n\n**Question 2**\nWhat is 3+3?\n\nThe answer is 6", "5"),
    ("The area is 24 cm^2.", "24 cm^2"),
    ("The area is 24 m^2.", "24\\text{ m}^2"),
    ("The area is $24$ cm$^2$.", "24"),
    ("The length is 24 units^2.", "24"),
    ("The speed is 60 km/h.", "60 km/h"),
    ("The speed is 9.8 m/s².", "9.8 m/s²"),
    ("There are 5 in total.", "5"),
    ("So 2s + 3 = 5", "2s + 3 = 5"),
    ("The train leaves at 10:30 PM.", "10:30 PM"),
    ("The train leaves at 10:30 p.m. on Monday.", "10:30 pm"),
    ("The answer is 7 p.m. She left at 5.", "7 pm"),
    ("The population is 1.5 million.", "1.5 million"),
    ("She has 2 dozen eggs.", "2 dozen"),
    ("So 15 + 7 = 22, and 22 / 2 = 11.", "11"),
    ("Hence $15 + 7 = 22$ and $22 / 2 = 11$.", "22 / 2 = 11"),
    ("So a = 3 and b = 4.", "3, 4"),
    ("The sum is negative 5.", "-5"),
    ("The sum is negative $5$.", "-5"),
    ("He owes negative $5 and gets $7", "$7"),
    ("The value is non-negative 5.", "5"),
    ("The correct option is **B**.", "B"),
    ("Therefore, the correct choice is (B).", "(B)"),
    ("The correct option is to sell 3 shares. So the profit is 12.", "12"),
    ("The ratio of boys to girls is 3 : 4.", "3:4"),
    ("Step 3 : 4 apples", "4"),
    ("The roots are:\n\n- $x = 5$\n- $x = 7$", "x = 5, x = 7"),
    ("The steps:\n\n- $2x = 10$\n- $x = 5$", "x = 5"),
]
"""Statements with reasons, roundings and steps; emphasis, units, times, multipliers, signs in words, list marks."""


AFTERWARDS = [
    ("The result is 42. I used 3 methods.", "42"),
    ("The final result is 42.\n\nI verified this with 2 other methods.", "42"),
    ("The result is 42. Then we halve it and get 21.", "21"),
    ("So x = 12. Checking: 12 + 3 = 15, which matches.", "12"),
    ("Therefore, there are 12 apples. Let me verify: 5 + 7 = 12. ✓", "12"),
    ("So x = 13. Let me verify: 5 + 7 = 12. Wait, that is wrong, so x = 12.", "12"),
    ("We have 3 + 4 = 7. To check how many are left, subtract: 10 - 7 = 3. She keeps 3.", "3"),
    ("We used 3 eggs.", "3"),
    ("Tom has 5 apples left after giving 3 to Mary.", "5"),
    ("After giving 3 to Mary, Tom has 5 apples.", "5"),
    ("Hence the value of x is 5 when y = 3.", "5"),
    ("When y = 3, we have x = 5.", "5"),
    ("We find that x = 5 (since y = 3).", "5"),
    ("The minimum value is 5, attained at x = 2.", "5"),
    ("The maximum is $5$ at $x=2$.", "5"),
    ("The lines meet at x = 2.", "2"),
    ("He pays 5 dollars after he gives 3, so 2 are left", "2"),
    ("Kylar needs to pay $64 for 16 glasses.", "$64"),
    ("He sold 16 glasses for $64.", "$64"),
    ("It takes him 11 hours to drive 500 miles.", "11"),
    ("He wants to drive 500 miles, which takes 11 hours.", "11"),
    ("The probability is $\\frac{1}{2}$ or 50%.", "\\frac{1}{2}"),
    ("The answer is 1/2, or 50%.", "1/2"),
    ("The probability of this is 1 in 6.", "1/6"),
    ("the ratio of boys to girls is 3 to 4.", "3:4"),
    ("The length is √5 ≈ 2.24.", "√5 \\approx 2.24"),
    ("The solutions are:\n1. $x = 2$\n2. $x = 3$", "x = 2, x = 3"),
    ("So it is $\\boxed 17$.", "17"),
    ("Write it in \\boxed 3 times. So 4", "4"),
    ("Thus, option C is correct, as 3 > 2.", "C"),
    ("Hence (C) is the correct answer, because 2 + 2 = 4.", "C"),
    ("We ask whether option C is correct: x = 3.", "3"),
    ("Let me think about 3.\n\n**C**", "C"),
    ("C) Paris", "C) Paris"),
    ("The options are:\nA) 3\nB) 4", "4"),
    ("Let me see. 3 < 4.\n\nYes.", "Yes"),
    ("No, it is not possible.", "No"),
    ("Since 4 is even, the statement is false.", "false"),
    ("As 3 < 4, there is no real solution.", "no real solution"),
    ("There is no solution with x = 3, so x = 4", "4"),
]
"""Remarks, checks, clauses and roundings after an answer; answers in words."""


@pytest.mark.parametrize(("text", "answer"), [*REPLIES, *STATEMENTS, *AFTERWARDS])
def test_a_reply_answers_what_its_rules_say(text: str, answer: str) -> None:
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
        "The answer is 5 apples " + "or about 5 " * 15_000,
        " *a" * 60_000,
        "__a " * 50_000,
        "7 hours and " * 16_000,
        "ratio 7 : " * 20_000,
        "negative " * 22_000,
        "are:\n- $x$\n" * 15_000,
        "7" + " " * 190_000 + "p.m.",
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
    ],
)
def test_extraction_takes_no_longer_than_the_text_is_long(text: str) -> None:
    started = time.thread_time()
    extract_answer(text)
    assert time.thread_time() - started < 2.0


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_extraction_raise(text: str) -> None:
    assert extract_answer(text) is None or extract_answer(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abc123+-{}\\$ ", max_size=30))
def test_a_balanced_box_is_found_whatever_stands_before_it(text: str) -> None:
    assert boxed_contents(f"{text}\n\\boxed{{42}}")[-1:] == ["42"] or "\\boxed" in text or text.endswith("\\")
