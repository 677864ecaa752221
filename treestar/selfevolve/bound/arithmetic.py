"""Arithmetic in text, such as `(n3 - a) * 100 / n4`, evaluated without running it as Python.

The text is parsed to a syntax tree, and every node that is not a number, a name or one of the operations below is
rejected. Text length, nesting and the size of exact numbers are limited, so even hostile text is evaluated in a short
time.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from operator import itemgetter
from typing import Any, TypeVar

__all__ = ["Formula", "formula"]

LONGEST_TEXT = 2000
"""Maximum number of characters in an expression."""

DEEPEST = 100
"""Maximum number of nested operations."""

LARGEST_BITS = 16_384
"""Maximum number of bits in an exact number's numerator or denominator; a number in a question has at most 1000."""

Number = TypeVar("Number", Fraction, float)

Formula = Callable[[Mapping[str, Number]], Number]
"""Takes values by name. Raises KeyError for a name without a value, and ArithmeticError if the result is undefined
or too large."""

Operation = Callable[[Any, Any], Any]


def formula(text: str, number: type[Number]) -> Formula[Number] | None:
    """The expression in `text`; None if it contains anything other than +, -, *, /, // of names and whole numbers.

    Args:
        number: Fraction computes exactly, float fast.
    """
    if len(text) > LONGEST_TEXT:
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return compiled(tree, number, DEEPEST)


def compiled(node: ast.expr, number: type[Number], depth: int) -> Formula[Number] | None:
    """`node` as a function, or None if it is not arithmetic or has more than `depth` nested operations."""
    if isinstance(node, ast.Name):
        return itemgetter(node.id)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return constant(node.value, number)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub) and depth:
        operand = compiled(node.operand, number, depth - 1)
        return operand if isinstance(node.op, ast.UAdd) or operand is None else lambda values: -operand(values)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS and depth:
        left, right = compiled(node.left, number, depth - 1), compiled(node.right, number, depth - 1)
        if left is None or right is None:
            return None
        operation = OPERATIONS[type(node.op)] if number is float else limited(OPERATIONS[type(node.op)])
        return lambda values: operation(left(values), right(values))
    return None


OPERATIONS: Mapping[type[ast.operator], Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def constant(value: int, number: type[Number]) -> Formula[Number] | None:
    if value.bit_length() > LARGEST_BITS or (number is float and value.bit_length() > 1023):
        return None
    converted = number(value)
    return lambda _: converted


def limited(operation: Operation) -> Operation:
    """`operation` on exact numbers, which raises OverflowError if the result has more than LARGEST_BITS."""

    def result(left: Fraction, right: Fraction) -> Fraction:
        found: Fraction | int = operation(left, right)
        if max(found.numerator.bit_length(), found.denominator.bit_length()) > LARGEST_BITS:
            raise OverflowError(f"a number of more than {LARGEST_BITS} bits")
        return found if isinstance(found, Fraction) else Fraction(found)

    return result
