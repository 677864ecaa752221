"""What replies without a box answer, as ordinary instruct models write them: a table for each cause of a misreading."""

from __future__ import annotations

import pytest

from treestar.verifier import equivalent, extract_answer

BALL = "A bat and a ball cost $1.10. The bat costs $1 more than the ball. How much is the ball?"
CAR = "Ein Auto kostet 20.000 € und verliert 15 % an Wert. Wie viel ist es noch wert?"
COWS = "A farmer has chickens and cows with 30 heads and 86 legs. How many cows are there?"
LARGEST = "Which of the following is the largest? A) 0.5 B) 2/3 C) 0.6 D) 5/8"
NUMBER = "A number doubled plus 7 is 25. What is it?"
SHIRTS = "A shirt costs $6. Tom buys 5 shirts with a $5 coupon. How much does he pay?"

RAISED = [
    ("", "(x + 2)(x − 3) = x² − 3x + 2x − 6 = x² − x − 6", "x^2 - x - 6"),
    ("", "Combine like terms: **x² − x − 6**", "x^2 - x - 6"),
    ("", "f'(x) = 6x + 2", "6x + 2"),
    ("", "So A = 2πr² + 2πrh = 48π.", "48\\pi"),
    ("", "A = πr² = π(5)² = 25π", "25\\pi"),
    ("", "∫2x dx = x² + C, where C is the constant of integration.", "x^2 + C"),
    ("", "$$\\int 2x\\,dx = x^2 + C$$", "x^2 + C"),
    ("", "The volume is 27 cm³ and the area of a side 9 cm².", "9"),
]
"""Raised digits after letters, derivatives, integrals."""

SOLVED = [
    ("", "2x = 11 − 3 = 8, x = 4.", "4"),
    ("", "解：2x = 11 - 3 = 8，x = 4。", "4"),
    ("", "So $2x = 8$, $x = 4$", "4"),
    ("", "a = 3, b = 4", "3, 4"),
]
"""A value after the equation that it solves."""

CHECKED = [
    (NUMBER, "The number is 9.\n\n### Verification\n\n$2 \\cdot 9 + 7 = 18 + 7 = 25$ ✔", "9"),
    (NUMBER, "$x = 9$\n\nWe can check our answer by substituting: $2(9) + 7 = 25$. It works!", "9"),
    (NUMBER, "x = 9\n\nProof: 2·9 + 7 = 25.", "9"),
    (NUMBER, "The number is 9.\n\nLet’s double-check:\n- 2 × 9 = 18\n- 18 + 7 = 25", "9"),
    (NUMBER, "x = 9. You can check this by doubling 9 (18) and adding 7 (25).", "9"),
    (NUMBER, "Let's check:\n2 × 8 + 7 = 23\n2 × 9 + 7 = 25\nTherefore, the number is 9.", "9"),
    ("Solve x² − 5x + 6 = 0.", "x = 2 and x = 3.\n\n**Check:**\n- 4 − 10 + 6 = 0 ✓\n- 9 − 15 + 6 = 0 ✓", "2, 3"),
]
"""A check of several lines under a heading, or of several sentences."""

FIRST = [
    (
        "Which day is it 100 days after Monday?",
        "It will be **Wednesday**.\n\nHere's why: 100 = 14 × 7 + 2.",
        "Wednesday",
    ),
    (BALL, "The ball costs **$0.05**.\n\nLet it be b: 2b = 0.10 and b = 0.05. The bat then costs $1.05.", "0.05"),
    ("Add 1, 2, ..., 100.", "**5050**\n\nThe formula is $\\frac{n(n+1)}{2}$ with $n=100$.", "5050"),
    ("When does it end?", "It ends at **10:15 PM**.\n\n- 7:30 PM + 2 h = 9:30 PM\n- Then 45 min more.", "10:15 PM"),
    (COWS, "Suppose **30 cows**. They have 120 legs, 34 too many, so 17 are chickens and 13 are cows.", "13"),
    (COWS, "We may try **15 cows**. These have 90 legs, 4 too many.\n\nSo there are 13 cows.", "13"),
    (SHIRTS, "He pays **$25**. Five shirts cost 5 x $6 = $30, and the coupon takes off $5.", "25"),
    (SHIRTS, "The shirts cost **$30** before the coupon. With the coupon, he pays $25.", "25"),
    (SHIRTS, "The shirts cost **$30** in total.\n\nWith the coupon he pays 25 dollars.", "25"),
    (SHIRTS, "**30** is the full price.\n\nAfter the coupon: 30 - 5 = 25", "25"),
    (COWS, "**Step 1: 30 heads**\n\nAll chickens have 60 legs.\n26 / 2 = 13", "13"),
]
"""The only value in bold, in the first line, before an explanation; not one that the question gives, nor a guess."""

WORDED = [
    ("", "You need three and a half cups of flour.", "3.5"),
    ("", "That is 3 and 1/2 cups.", "3.5"),
    ("", "The roots are 3 and 1/2.", "3, 1/2"),
    ("Solve x² = −1.", "There are no real solutions to the equation x² = -1.", "no solution"),
    (NUMBER, "The number is 9 since doubling 9 gives 18 and adding 7 gives 25.", "9"),
    ("", "The area is 25π square units, or about 78.54 square units.", "25\\pi"),
    ("", "It costs 5 dollars, or about 4 euros.", "4"),
    (COWS, "So there are **13 cows** and 17 chickens.", "13"),
    (COWS, "So the farmer has 17 chickens and 13 cows.", "13"),
    ("How many cows and chickens are there?", "There are 13 cows and 17 chickens.", "17"),
    ("Is 91 a prime number?", "91 = 7 × 13. Therefore, 91 is not prime.", "no"),
    (
        "Can a triangle have sides 3, 4 and 8?",
        "3 + 4 = 7 < 8. So a triangle with sides 3, 4, and 8 cannot exist.",
        "no",
    ),
    ("Can a triangle have sides 3, 4 and 8?", "It is not possible, since 3 + 4 = 7 < 8.", "no"),
    (LARGEST, "Option B (2/3) is the largest since 2/3 ≈ 0.6667 > 0.625 > 0.6 > 0.5.", "B"),
    (LARGEST, "The correct option is B. 2/3 ≈ 0.667 is greater than 0.625, 0.6, and 0.5.", "B"),
    (CAR, "15 % von 20.000 € sind 3.000 €. Das Auto ist also noch 17.000 € wert.", "17000"),
    ("¿Cuántos días hay en 6 semanas?", "Hay 42 días en 6 semanas.", "42"),
    ("Quelle distance parcourt-il en 2,5 heures ?", "Le train parcourt 225 km en 2,5 heures.", "225"),
]
"""Mixed numbers, reasons, roundings, two counts, verdicts, options, prepositions and separators of other languages."""

PRINTED = [
    ("", "```output\n[7. 3.]\n```", "7, 3"),
    ("", "```output\n{x: 7, y: 3}\n```", "(7, 3)"),
    ("", "```output\nApril 24, 2024\n```", "April 24, 2024"),
    ("Is 7 a prime number?", '{"answer": true}', "Yes"),
    ("How many primes are below 50?", "```output\nPrimes: 15\n```\n\nThis counts all primes below 50.", "15"),
    ("", "The average is: 6\n\nExplanation: The code adds the numbers and divides by 3.", "6"),
    ("", "By l'Hôpital, lim_{x→0} sin(x)/x = lim_{x→0} cos(x)/1 = cos(0) = 1.", "1"),
]
"""What programs print, and remarks on them."""

CASES = RAISED + SOLVED + CHECKED + FIRST + WORDED + PRINTED


@pytest.mark.parametrize(("question", "reply", "answer"), CASES)
def test_the_answer_is_what_a_careful_person_reads(question: str, reply: str, answer: str) -> None:
    found = extract_answer(reply, question)
    assert found is not None
    assert equivalent(found, answer), found
