"""Evaluates trees: exactly where everything is rational, otherwise with mpmath, always in bounded time.

A value is a `Fraction`, an mpmath number, `INFINITE` or `MINUS_INFINITE`, or None where the expression is undefined.
"""

from __future__ import annotations

import math
import operator
import zlib
from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import mpmath

from treestar.verifier.grading.tree_tokens import TRIGONOMETRIC, Tree

__all__ = ["INFINITE", "MINUS_INFINITE", "Evaluation", "TooLarge", "UnknownValue", "approximate"]

INFINITE, MINUS_INFINITE = "infinite", "minus infinite"
Value = Any

MOST_BITS = 1 << 17
"""Bits of an exact number; larger ones are approximated."""
LARGEST_EXPONENT = 10**6
"""Absolute value of an exponent of the exponential function, or of a power that is not exact."""
LARGEST_FACTORIAL = 3000
LARGEST_ARGUMENT = 10_000
"""Of the gamma function and of binomials that are not integers."""
MOST_TERMS = 2000
"""Terms of a sum or product that is evaluated by adding them up."""
LARGEST_ROOT = 40
NEAR_STEP = 30
"""Digits to which a value may equal an integer where a step function jumps."""

NAMES_IN_MPMATH = {
    **{f"arc{name}": f"a{name}" for name in TRIGONOMETRIC},
    **{f"ar{name}h": f"a{name}h" for name in TRIGONOMETRIC},
    "lg": "log10",
    "log": "log10",
}
SAMPLES = (Fraction(3, 7), Fraction(11, 5), Fraction(13, 3))
"""Places at which integrands and terms of symbolic series are compared."""
FAR_AWAY = {INFINITE: Fraction(7, 2), MINUS_INFINITE: Fraction(-9, 2)}
"""What stands for infinite limits of integrals."""


class TooLarge(Exception):
    """A value is beyond what is computed here; no realistic answer is."""


class UnknownValue(Exception):
    """The expression has a part without a value that is computed here."""


class Evaluation:
    """Evaluates trees at one point with a number of digits."""

    def __init__(self, values: Mapping[str, Fraction], digits: int) -> None:
        """`values`: the variables' values."""
        self.values = dict(values)
        self.digits = digits
        self.stands_in = False
        """Whether the value of an integral or a symbolic series was replaced by a functional of its body: equal bodies
        and limits give equal values, but equal expressions do not have to."""
        self.divided_by_zero = False
        """Whether there was no value because the expression divides by zero, or something as meaningless."""

    def value(self, tree: Tree) -> Value:
        """The value of `tree`; None if undefined. Raises TooLarge and UnknownValue."""
        with mpmath.workdps(self.digits):
            try:
                return self.of(tree)
            except ZeroDivisionError:
                self.divided_by_zero = True
                return None
            except (ValueError, OverflowError):
                return None

    def of(self, tree: Tree) -> Value:
        kind = tree[0]
        if kind == "number":
            return tree[1]
        if kind == "symbol":
            return self.values[tree[1]]
        if kind == "sum":
            return total([self.of(part) for part in tree[1:]])
        if kind == "product":
            return product([self.of(part) for part in tree[1:]])
        if kind == "quotient":
            return quotient(finite(self.of(tree[1])), finite(self.of(tree[2])))
        if kind == "negative":
            return negative(self.of(tree[1]))
        if kind == "power":
            return power(finite(self.of(tree[1])), finite(self.of(tree[2])))
        if kind == "call":
            return call(tree[1], [finite(self.of(part)) for part in tree[2:]], self.digits)
        if kind == "pi":
            return mpmath.mp.pi + 0
        if kind == "e":
            return mpmath.mp.e + 0
        if kind == "i":
            return mpmath.mpc(0, 1)
        if kind == "infinity":
            return INFINITE
        return self.series(tree) if kind == "series" else self.integral(tree)

    def series(self, tree: Tree) -> Value:
        _, name, variable, low_tree, high_tree, body = tree
        low, high = self.of(low_tree), self.of(high_tree)
        if isinstance(low, Fraction) and isinstance(high, Fraction) and low.denominator == high.denominator == 1:
            if high - low > MOST_TERMS:
                raise UnknownValue
            terms = [self.with_value(variable, low + step, body) for step in range(int(high - low) + 1)]
            if any(term is None for term in terms):
                return None
            return total(terms or [Fraction(0)]) if name == "sum" else product(terms or [Fraction(1)])
        marks = [Fraction(5) if each is INFINITE else finite(each) for each in (low, high)]
        offset = Fraction(1, 3) if name == "sum" else Fraction(1, 5)
        return self.functional(variable, body, [*marks, offset])

    def integral(self, tree: Tree) -> Value:
        _, variable, low_tree, high_tree, body = tree
        if low_tree is None:
            return self.functional(variable, body, [self.values.get(variable, Fraction(2, 9)), Fraction(1, 9)])
        limits = [self.of(low_tree), self.of(high_tree)]
        return self.functional(variable, body, [FAR_AWAY.get(each, each) for each in limits])

    def functional(self, variable: str, body: Tree, marks: list[Value]) -> Value:
        """A value that depends on the body as an integral does: linearly, and on the limits."""
        self.stands_in = True
        result: Value = Fraction(0)
        for place, sample in enumerate(SAMPLES, start=1):
            weight: Value = Fraction(place, 7)
            for position, mark in enumerate(marks, start=1):
                weight = total([weight, product([mark, Fraction(place * place + 1, 10 + position)])])
            result = total([result, product([weight, finite(self.with_value(variable, sample, body))])])
        return result

    def with_value(self, variable: str, value: Fraction, body: Tree) -> Value:
        outer, self.values = self.values, {**self.values, variable: value}
        result = self.of(body)
        self.values = outer
        return result


def finite(value: Value) -> Value:
    if value is None:
        raise ZeroDivisionError
    if value is INFINITE or value is MINUS_INFINITE:
        raise UnknownValue
    return value


def approximate(value: Value) -> Any:
    """`value` as an mpmath number."""
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return value


def small_enough(value: Value) -> Value:
    if isinstance(value, Fraction) and value.numerator.bit_length() + value.denominator.bit_length() > MOST_BITS:
        return approximate(value)
    return value


def total(values: list[Value]) -> Value:
    exact, others = separated(values)
    known = sum(exact, Fraction(0))
    if not others:
        return small_enough(known)
    rest = reduce(operator.add, others)
    return rest + approximate(known) if known else rest


def product(values: list[Value]) -> Value:
    exact, others = separated(values)
    known = math.prod(exact, start=Fraction(1))
    if not others:
        return small_enough(known)
    return reduce(operator.mul, others) * approximate(known) if known else Fraction(0)


def separated(values: list[Value]) -> tuple[list[Fraction], list[Any]]:
    """The rational numbers among finite values, and the others."""
    exact = [value for value in values if isinstance(value, Fraction)]
    return exact, [finite(value) for value in values if not isinstance(value, Fraction)]


def negative(value: Value) -> Value:
    if value is INFINITE:
        return MINUS_INFINITE
    return INFINITE if value is MINUS_INFINITE else -value


def quotient(top: Value, bottom: Value) -> Value:
    if isinstance(top, Fraction) and isinstance(bottom, Fraction):
        return small_enough(top / bottom)
    return approximate(top) / approximate(bottom)


def power(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction) and isinstance(base, Fraction):
        exact = exact_power(base, exponent)
        if exact is not None:
            return exact
    size = abs(approximate(exponent))
    if size > LARGEST_EXPONENT and base not in (0, 1):
        raise TooLarge
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        return mpmath.power(approximate(base), exponent.numerator)
    return mpmath.power(approximate(base), approximate(exponent))


def exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The power if it is rational and not too large, else None."""
    if base == 1:
        return base
    if exponent.denominator != 1:
        if base < 0 or exponent.denominator > LARGEST_ROOT:
            return None
        root = exact_root(base, exponent.denominator)
        if root is None:
            return None
        base, exponent = root, Fraction(exponent.numerator)
    if not base:
        if exponent < 0:
            raise ZeroDivisionError
        return Fraction(0 if exponent else 1)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent) > MOST_BITS:
        return None
    return base**exponent.numerator


def exact_root(value: Fraction, degree: int) -> Fraction | None:
    top, bottom = (integer_root(part, degree) for part in (value.numerator, value.denominator))
    return None if top is None or bottom is None else Fraction(top, bottom)


def integer_root(value: int, degree: int) -> int | None:
    if value < 2:
        return value
    if degree == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 4096:
        return None
    low, high = 1, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def call(name: str, arguments: list[Value], digits: int) -> Value:
    if name in ("floor", "ceil", "mod", "min", "max") and any(isinstance(each, mpmath.mpc) for each in arguments):
        raise UnknownValue
    if name in ("floor", "ceil", "mod"):
        return step(name, arguments, digits)
    if name in ("gcd", "lcm"):
        return of_integers(name, arguments)
    if name in ("min", "max"):
        return (min if name == "min" else max)(arguments, key=approximate)
    if name.startswith("function "):
        return of_unknown_function(name, arguments)
    first = arguments[0]
    if name == "abs":
        return abs(first)
    if name == "root":
        return root(first, arguments[1])
    if name == "factorial":
        return factorial(first)
    if name == "binom":
        return binomial(first, arguments[1])
    if name == "log" and len(arguments) == 2:
        return mpmath.log(approximate(first)) / mpmath.log(approximate(arguments[1]))
    if name in ("ln", "log", "lg") and first == 1:
        return Fraction(0)
    if name in ("exp", "sinh", "cosh", "tanh", "coth", "sech", "csch") and abs(approximate(first)) > LARGEST_EXPONENT:
        raise TooLarge
    if name in ("ln", "log", "lg") and first == 0:
        raise ZeroDivisionError
    return getattr(mpmath, NAMES_IN_MPMATH.get(name, name))(approximate(first))


def of_unknown_function(name: str, arguments: list[Value]) -> Value:
    """A value that stands for `f(x)`: the same for equal arguments, and hardly ever for others."""
    seed = zlib.crc32(name.encode()) % 97
    result: Value = Fraction(seed, 7)
    for place, argument in enumerate(arguments, start=2):
        square = product([argument, argument])
        top = total([product([square, Fraction(place, 3)]), product([argument, Fraction(seed + place, 5)]), result])
        result = quotient(top, total([square, Fraction(seed + 2)]))
    return result


def root(value: Value, index: Value) -> Value:
    if not isinstance(index, Fraction) or index.denominator != 1 or index <= 0:
        return power(value, quotient(Fraction(1), index))
    if index.numerator % 2 and not isinstance(value, mpmath.mpc) and value < 0:
        return -power(-value, 1 / index)  # The real root.
    return power(value, 1 / index)


def step(name: str, arguments: list[Value], digits: int) -> Value:
    value = arguments[0]
    if name == "mod":
        divided = step("floor", [quotient(value, arguments[1])], digits)
        return total([value, -product([arguments[1], divided])])
    if isinstance(value, Fraction):
        return Fraction(math.floor(value) if name == "floor" else math.ceil(value))
    if abs(value) > 10**15:
        raise TooLarge
    nearest = int(mpmath.nint(value))
    if abs(value - nearest) < mpmath.mpf(10) ** -min(NEAR_STEP, digits - 10):
        return Fraction(nearest)
    return Fraction(int(mpmath.floor(value) if name == "floor" else mpmath.ceil(value)))


def of_integers(name: str, arguments: list[Value]) -> Fraction:
    if not all(isinstance(each, Fraction) and each.denominator == 1 for each in arguments):
        raise UnknownValue
    numbers = [each.numerator for each in arguments]
    return Fraction(math.gcd(*numbers) if name == "gcd" else math.lcm(*numbers))


def factorial(value: Value) -> Value:
    if isinstance(value, Fraction) and value.denominator == 1:
        if value < 0:
            raise ZeroDivisionError
        if value <= LARGEST_FACTORIAL:
            return Fraction(math.factorial(value.numerator))
    if abs(approximate(value)) > LARGEST_ARGUMENT:
        raise TooLarge
    return mpmath.factorial(approximate(value))


def binomial(top: Value, bottom: Value) -> Value:
    if all(isinstance(each, Fraction) and each.denominator == 1 for each in (top, bottom)) and top >= 0:
        if bottom < 0 or bottom > top:
            return Fraction(0)
        if min(bottom, top - bottom) > LARGEST_FACTORIAL or top > 10**9:
            raise TooLarge
        return Fraction(math.comb(top.numerator, bottom.numerator))
    if abs(approximate(top)) > LARGEST_ARGUMENT or abs(approximate(bottom)) > LARGEST_ARGUMENT:
        raise TooLarge
    return mpmath.binomial(approximate(top), approximate(bottom))
