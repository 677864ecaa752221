"""What a written program prints, read as arithmetic instead of run: thousands a second, and nothing can be harmed."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from fractions import Fraction

from recipes.word_problems.program import FUNCTIONS, IMPORTED, OPERATIONS

__all__ = ["END_OF_CODE", "END_OF_STEP", "is_right", "printed", "steps_of"]

END_OF_STEP, END_OF_CODE = "<end_of_step>", "<end_of_code>"

TOLERANCE = 1e-6
"""Relative."""

LARGEST = 10**1000
"""A policy can write powers of powers. Larger numbers are not computed with, nor fractions of larger numbers."""

LARGEST_EXPONENT = 60

SLOW: Mapping[str, int] = {"factorial": 0, "comb": 1, "round": 1}
"""Functions that take the longer, the larger the argument in this place is."""

LARGEST_ARGUMENT = 400
"""Of SLOW functions, in that place."""


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
                    names[name] = value_of(value, names)
                case ast.Expr(ast.Call(ast.Name("print"), [value], [])) if output is None:
                    output = value_of(value, names)
                case ast.ImportFrom("math", imported) if all(each.name in IMPORTED for each in imported):
                    pass
                case _:
                    return None
    except (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError, MemoryError):
        return None
    return output


def value_of(node: ast.expr, names: Mapping[str, Fraction]) -> Fraction:
    """The exact value of arithmetic that is quickly computed.

    Raises:
        ValueError: it is something else, or too large.
        LookupError, TypeError, ArithmeticError: Python could not compute it either.
    """
    match node:
        case ast.Constant(int() | float() as number):
            value = Fraction(str(number))
        case ast.Name(name):
            value = names[name]
        case ast.UnaryOp(ast.USub(), operand):
            value = -value_of(operand, names)
        case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
            one, other = value_of(left, names), value_of(right, names)
            if isinstance(operation, ast.Pow) and (other.denominator != 1 or abs(other) > LARGEST_EXPONENT):
                raise ValueError(f"the exponent {other} is too large, or not whole")
            value = OPERATIONS[type(operation)](one, other)
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            numbers = [value_of(argument, names) for argument in arguments]
            if name in SLOW and any(abs(each) > LARGEST_ARGUMENT for each in numbers[SLOW[name] :]):
                raise ValueError(f"an argument of {name} is too large")
            value = Fraction(FUNCTIONS[name](*numbers))
        case _:
            raise ValueError(f"{type(node).__name__} is not plain arithmetic")
    if max(abs(value.numerator), value.denominator) > LARGEST:
        raise ValueError("a number is too large")
    return value


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
