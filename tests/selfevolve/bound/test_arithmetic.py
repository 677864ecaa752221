"""Arithmetic in text: exact, and decided quickly for any text."""

from __future__ import annotations

import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.selfevolve.bound.arithmetic import LARGEST_BITS, formula

VALUES = {"a": Fraction(7), "n3": Fraction(1, 3), "n4": Fraction(0), "total_legs": Fraction(-12)}
OPERATIONS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": lambda left, right: Fraction(left // right),
}

Expression = tuple[str, Fraction | None]
"""A text and its value; None if it divides by zero."""


def negative(expression: Expression) -> Expression:
    text, value = expression
    return f"-({text})", None if value is None else -value


def combined(parts: tuple[Expression, str, Expression]) -> Expression:
    (left, x), sign, (right, y) = parts
    undefined = x is None or y is None or (sign in ("/", "//") and y == 0)
    return f"({left}) {sign} ({right})", None if undefined else OPERATIONS[sign](x, y)


LEAVES = st.one_of(
    st.sampled_from(sorted(VALUES.items())), st.integers(0, 10**30).map(lambda number: (str(number), Fraction(number)))
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(negative), st.tuples(inner, st.sampled_from(sorted(OPERATIONS)), inner).map(combined)
    ),
    max_leaves=12,
)


def value(text: str) -> Fraction | None:
    found = formula(text, Fraction)
    try:
        return found and found(VALUES)
    except (KeyError, ArithmeticError):
        return None


@given(expression=EXPRESSIONS)
def test_the_value_is_exact(expression: Expression) -> None:
    text, expected = expression
    assert value(text) == expected


@given(expression=EXPRESSIONS)
def test_floats_agree_with_exact_values(expression: Expression) -> None:
    text, expected = expression
    if expected is None or "-" in text or "//" in text:  # differences cancel digits, and a floor leaps
        return
    found = formula(text, float)
    assert found is not None
    assert found({name: float(each) for name, each in VALUES.items() if each >= 0} | {"total_legs": -12.0}) == (
        pytest.approx(float(expected), rel=1e-9)
    )


@given(text=st.one_of(st.text(), st.text("an34 +-*/()._,0123456789e\n[]{}:=<>'"), st.text("(-a")))
def test_no_text_raises(text: str) -> None:
    value(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "2 ( a )",
        "a ** 2",
        "a % 2",
        "3.5",
        "1j",
        "True",
        "a < n3",
        "a if a else n3",
        "a and n3",
        "(x := 3)",
        "abs(a)",
        "a.real",
        "[a][0]",
        "__import__('os')",
        "b",
        "a / n4",
        "a // n4",
        "1" * 5000,
        "(" * 500 + "a",
        "-" * 1500 + "a",
        " + ".join(["a"] * 400),
        "a\n= 3",
    ],
)
def test_what_is_not_arithmetic_or_undefined_or_huge_has_no_value(text: str) -> None:
    assert value(text) is None


def test_numbers_do_not_grow_without_bound() -> None:
    square = formula("a * a", Fraction)
    assert square is not None
    number = Fraction(3)
    while 2 * number.numerator.bit_length() <= LARGEST_BITS:
        number = square({"a": number})
    assert number.numerator.bit_length() > LARGEST_BITS / 4
    with pytest.raises(OverflowError, match="bits"):
        square({"a": number * number})
