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

__all__ = ["Line", "WordProblem", "named", "short_number", "trajectory_of", "value_of", "words_of"]

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
        ValueError: it contains something else, an unknown name, or a division by zero.
    """

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return Fraction(str(node.value))
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            return OPERATIONS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            return Fraction(FUNCTIONS[node.func.id](*map(value, node.args)))
        raise ValueError(f"{ast.unparse(node)!r} is not plain arithmetic")

    try:
        return value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError) as error:
        raise ValueError(f"{expression!r} has no value: {error}") from error


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
