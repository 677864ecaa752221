"""A word problem with the short program that solves it, and the trajectory that the policy learns from it.

A program has one line of arithmetic per step, each with a comment that says what it finds. Comments never contain a
result: the policy must let Python compute it.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from keyword import iskeyword

from recipes.toy.execution import answers_match, run_steps
from recipes.word_problems.words import WORDS
from treestar.types import Execution, Problem, State, Step

__all__ = ["Line", "WordProblem", "computed", "named", "short_number", "trajectory_of", "value_of", "words_of"]

OPERATIONS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda one, other: Fraction(one // other),
    ast.Mod: operator.mod,
    ast.Pow: lambda one, other: Fraction(one**other),
}

IMPORTED: Mapping[str, Callable[..., int]] = {
    "sqrt": lambda number: whole_root(number),
    "gcd": lambda *numbers: math.gcd(*map(int, numbers)),
    "lcm": lambda *numbers: math.lcm(*map(int, numbers)),
    "factorial": lambda number: math.factorial(int(number)),
    "comb": lambda all_of_them, taken: math.comb(int(all_of_them), int(taken)),
    "ceil": math.ceil,
}
"""Functions of Python's module `math` that a program can call."""

FUNCTIONS: Mapping[str, Callable[..., Fraction | int]] = {
    **IMPORTED,
    "round": lambda number, digits=0: round(number, int(digits)),
    "max": max,
    "min": min,
}

LARGEST = 10**1000
"""A policy can write powers of powers. Larger numbers are not computed with, nor fractions of larger numbers."""

LARGEST_EXPONENT = 60

SLOW: Mapping[str, int] = {"factorial": 0, "comb": 1, "round": 1}
"""Functions that take the longer, the larger the arguments from this place on are."""

LARGEST_ARGUMENT = 400
"""Of SLOW functions, from that place on."""

EMPTY_WORDS = frozenset(WORDS["empty"])
"""Words that say little about what a number is."""

NAME_WORDS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """`name = expression`, under a comment."""

    comment: str
    name: str
    expression: str
    """Arithmetic over numbers and earlier names, as Python, with calls of FUNCTIONS."""

    @property
    def code(self) -> str:
        """The line, after an import of what it calls."""
        called = [name for name in IMPORTED if f"{name}(" in self.expression]
        imports = "".join(f"from math import {name}\n" for name in called)
        return f"{imports}{self.name} = {self.expression}"


@dataclass(frozen=True, slots=True)
class WordProblem:
    """A question, the program that answers it, and the answer."""

    id: str
    question: str
    lines: tuple[Line, ...]
    answer: str
    """A number."""
    source: str

    def problem(self) -> Problem:
        return Problem(self.question, self.answer, id=self.id, metadata={"source": self.source})


def trajectory_of(found: WordProblem) -> State | None:
    """The finished trajectory in the `rstar` format; None if the program fails or prints another number."""
    steps = [f"# {line.comment}\n{line.code}" for line in found.lines]
    steps[-1] += f"\nprint({found.lines[-1].name})"
    output = run_steps("", steps)
    if output is None or not answers_match(output, found.answer):
        return None
    written = [Step(step, code=step, ending="step") for step in steps[:-1]]
    written.append(Step(steps[-1], code=steps[-1], ending="code"))
    answer = short_number(output)
    written.append(Step(f"The answer is \\boxed{{{answer}}}.", ending="answer", answer=answer))
    executions = [*[Execution() for _ in steps[1:]], Execution(output + "\n"), Execution()]
    return State(found.problem(), tuple(written), tuple(executions))


def short_number(output: str) -> str:
    """A number as people write it: 24 for 24.0, 0.3 for 0.30000000000000004."""
    value = float(output)
    return str(int(value)) if value == int(value) else f"{value:.8g}"


def value_of(expression: str, names: Mapping[str, Fraction]) -> Fraction:
    """The exact value of arithmetic.

    Raises:
        ValueError: as `computed` does, or it is not an expression, or Python could not compute it either.
    """
    try:
        return computed(ast.parse(expression.strip(), mode="eval").body, names)
    except (SyntaxError, ZeroDivisionError) as error:
        raise ValueError(f"{expression!r} has no value: {error}") from error


def computed(node: ast.expr, names: Mapping[str, Fraction]) -> Fraction:
    """The exact value of arithmetic that is quickly computed.

    Raises:
        ValueError: it is something else, or too large.
    XX not compute it either.
    """
    match node:
        case ast.Constant(int() | float() as number):
            value = Fraction(str(number))
        case ast.Name(name) if name in names:
            value = names[name]
        case ast.UnaryOp(ast.USub(), operand):
            value = -computed(operand, names)
        case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
            one, other = computed(left, names), computed(right, names)
            if isinstance(operation, ast.Pow) and abs(other) > LARGEST_EXPONENT:
                raise ValueError(f"the exponent {other} is too large")
            value = Fraction(OPERATIONS[type(operation)](one, other))  # a root is a float
        case ast.Call(ast.Name(name), arguments, []) if name in FUNCTIONS:
            numbers = [computed(argument, names) for argument in arguments]
            if name in SLOW and any(abs(each) > LARGEST_ARGUMENT for each in numbers[SLOW[name] :]):
                raise ValueError(f"an argument of {name} is too large")
            value = Fraction(FUNCTIONS[name](*numbers))
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not plain arithmetic")
    if max(abs(value.numerator), value.denominator) > LARGEST:
        raise ValueError("a number is too large")
    return value


def whole_root(number: Fraction) -> int:
    """The square root.

    Raises:
        ValueError: it is not a whole number.
    """
    root = math.isqrt(int(number))
    if root * root != number:
        raise ValueError(f"the square root of {number} is not a whole number")
    return root


def words_of(text: str) -> list[str]:
    """The words of a text that say something, in lower case."""
    return [word for word in re.findall(r"[a-z]+", text.lower().replace("'s", "")) if word not in EMPTY_WORDS]


def named(candidates: Iterable[Sequence[str]], taken: Iterable[str]) -> str:
    """A variable's name from the first of `candidates` with a word in it, different from all in `taken`."""
    words = next((list(words) for words in candidates if words), ["result"])
    # A very long word is usually two that were glued together.
    name = "_".join(word for word in words[:NAME_WORDS] if len(word) <= 14) or "result"
    used = set(taken)
    if name not in used and not iskeyword(name):
        return name
    return next(f"{name}_{count}" for count in range(2, 100) if f"{name}_{count}" not in used)
