"""What replies without a box answer, as ordinary instruct models write them: a table for each cause of a misreading."""

from __future__ import annotations

import pytest

from treestar.verifier import equivalent, extract_answer

NUMBER = "A number doubled plus 7 is 25. What is it?"

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


@pytest.mark.parametrize(("question", "reply", "answer"), RAISED + SOLVED + CHECKED)
def test_the_answer_is_what_a_careful_person_reads(question: str, reply: str, answer: str) -> None:
    found = extract_answer(reply, question)
    assert found is not None
    assert equivalent(found, answer), found
