"""What a written program prints, read as arithmetic instead of run: thousands a second, and nothing can be harmed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from fractions import Fraction

from recipes.word_problems.program import IMPORTED, computed

__all__ = ["END_OF_CODE", "END_OF_STEP", "is_right", "printed", "steps_of"]

END_OF_STEP, END_OF_CODE = "<end_of_step>", "<end_of_code>"

TOLERANCE = 1e-6
"""Relative."""


def steps_of(text: str) -> list[str] | None:
    """The steps of a program that has ended; None if it has not."""
    if not text.endswith(END_OF_CODE):
        return None
    return [step.strip() for step in text.removesuffix(END_OF_CODE).split(END_OF_STEP)]


def printed(steps: Sequence[str]) -> Fraction | None:
    """The number that the steps print; None if they are not plain arithmetic, or print more or something else."""
    names: dict[str, Fraction] = {}
    output: Fraction | None = None
    try:
        for line in ast.parse("\n".join(steps)).body:
            match line:
                case ast.Assign([ast.Name(name)], value):
                    names[name] = computed(value, names)
                case ast.Expr(ast.Call(ast.Name("print"), [value], [])) if output is None:
                    output = computed(value, names)
                case ast.ImportFrom("math", imported) if all(each.name in IMPORTED for each in imported):
                    pass
                case _:
                    return None
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return None
    return output


def is_right(text: str, answer: str) -> bool:
    """Whether the program prints the answer.

    Args:
        text: whatever the policy wrote.
        answer: a finite number.
    """
    output = printed(steps_of(text) or [])
    if output is None:
        return False
    # The output can be too large for a float, so the answer is made exact instead.
    gold = float(answer.replace(",", ""))
    return abs(output - Fraction(gold)) <= TOLERANCE * max(1.0, abs(gold))
