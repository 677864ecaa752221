"""What a reply answers to a question that is known: given numbers, counted nouns, options, verdicts, two values."""

from __future__ import annotations

import pytest

from treestar.verifier import equivalent, extract_answer
from treestar.verifier.extraction.asked import read_question

CAR = "A car uses 6 liters per 100 km. How many liters does it need for 350 km?"
AGE = "I was born in 1987. How old am I in 2024?"
PENS = "A pen costs $3.50. How many pens can I buy with $12?"
TRIP = "How long does it take to travel 240 km at 60 km/h?"
LARGEST = "Which is largest? (A) 0.5 (B) 2/3 (C) 60% (D) 0.06"
PRIME = "Is 91 a prime number?"
FIELD = "A field is 7.5 m long and 4 m wide. What are its area and perimeter?"
MARBLES = "Tom has 34 marbles and Ana 19. How many more marbles does Tom have?"

GIVEN = [
    (CAR, "The car needs 21 liters of fuel for 350 km.", "21"),
    (CAR, "It needs approximately 21 liters to cover 350 km.", "21"),
    (AGE, "You are 37 years old in 2024.", "37"),
    (AGE, "If you were born in 1987, you would be 37 in 2024.", "37"),
    (TRIP, "It takes 4 hours to travel 240 km at 60 km/h.", "4"),
    ("How far can I get in 4 hours at 60 km/h?", "You travel 240 km in 4 hours at a speed of 60 km/h.", "240 km"),
    ("What is half of 48?", "24 is half of 48.", "24"),
    (MARBLES, "Tom has 15 more marbles than Ana, who has 19.", "15"),
    ("12 of 60 students failed. How many passed?", "48 students passed, while 12 failed.", "48"),
    # A given number that is the answer all the same: it says more than a circumstance.
    ("Tom gives 8 of 20 apples to Ana and 4 to Ben. How many has he left?", "Tom gave 12 away and has 8 left.", "8"),
    ("Sam has 12 pens and finds 24. He loses 24. How many are left?", "He had 36 and after losing 24 he has 12.", "12"),
    ("What is 20 minus 15?", "The difference of 20 and 15 is 5.", "5"),
]
"""Numbers that the question gives, in a circumstance of the answer and as the answer."""

COUNTED = [
    (PENS, "You can buy 3 pens with $12, and you will have $1.50 left over.", "3"),
    (PENS, "Since a pen costs $3.50, 3 pens cost $10.50.", "3"),
    ("Ana reads 30 pages a day. How many pages are that in a week?", "30 pages a day make 210 pages in 7 days.", "210"),
    ("How many boxes hold 48 eggs if a box holds 6, and how many eggs are that?", "8 boxes hold 48 eggs.", "48"),
]
"""The number before the noun that "how many" asks for."""

NAMED = [
    (LARGEST, "The values are 0.5, 0.667, 0.6 and 0.06. So B is the largest.", "B"),
    (LARGEST, "2/3 ≈ 0.667 > 0.6 > 0.5, so (B).", "B"),
    (LARGEST, "So (B) is larger than (A) and (C): 2/3 > 0.6", "2/3 > 0.6"),
    (LARGEST, "So x = 7. Note that choice (D) is not possible.", "7"),
    (
        "Enter all letters that are true. (A) 3 > 2 (B) 1 > 2 (C) 2 > 1",
        "The true ones are $\\text{A,C}$.",
        "\\text{A,C}",
    ),
    (PRIME, "91 is not a prime number. It is divisible by 7 and 13.", "no"),
    (PRIME, "91 = 7 · 13. Therefore, 91 isn't a prime number.", "no"),
    (PRIME, "We check whether 91 is a prime number. 91 = 7 · 13", "7 · 13"),
    ("Is 3/4 greater than 2/3?", "3/4 = 9/12 and 2/3 = 8/12. So 3/4 is greater than 2/3.", "yes"),
    ("Is 3/4 greater than 2/3?", "3/4 is less than 2/3.", "2/3"),
    ("Is 9 or 7 a prime number?", "9 is no prime number, 7 is.", "7"),
]
"""Options and verdicts without the words that announce them."""

PAIRS = [
    ("The area is 30 m² and the perimeter is 23 m.", "30, 23"),
    ("**Area** = 7.5 × 4 = **30 m²**\n\n**Perimeter** = 2 × (7.5 + 4) = **23 m**", "30, 23"),
    ("- Perimeter: 23 meters\n- Area: 30 square meters", "30, 23"),
    ("The area is \\boxed{30}.", "30"),
]
"""Two values that a question asks for, in its order."""


@pytest.mark.parametrize(("question", "text", "answer"), [*GIVEN, *COUNTED, *NAMED])
def test_a_question_tells_which_of_several_numbers_answers_it(question: str, text: str, answer: str) -> None:
    assert extract_answer(text, question) == answer


@pytest.mark.parametrize(("text", "answer"), PAIRS)
def test_two_values_are_read_where_two_are_asked_for(text: str, answer: str) -> None:
    found = extract_answer(text, FIELD)
    assert equivalent(found or "", answer)


@pytest.mark.parametrize("question", ["A) " * 20_000 + "?", "is " * 20_000 + "?", "how many " * 20_000, "(" * 50_000])
def test_a_hostile_question_takes_no_longer_than_it_is_long(question: str) -> None:
    assert extract_answer("So 5 apples.", question) == "5"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which is it?\nA. 3\nB. 4\nC. 5", "ABC"),
        ("Choose: A) 3 B) 4 C) 5", "ABC"),
        ("Which is it? $\\bullet$ A. $22$\n\n$\\bullet$ B. $24$", "AB"),
        ("Some students are in group A. The others, as many, are in group B. What is the ratio?", ""),
    ],
)
def test_options_are_letters_that_mark_something(question: str, options: str) -> None:
    assert read_question(question).options == options


def test_a_question_that_goes_on_to_ask_for_a_number_has_that_as_its_answer() -> None:
    question = "Is it possible to buy pens with $12? If so, how many pens at $3 each?"
    assert extract_answer("It is possible to buy 4 pens with $12.", question) == "4"
