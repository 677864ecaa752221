"""Small scripted teachers: the steps that solve one problem, for every family that the bootstrap policy is taught.

A teacher reads the question with names in place of numbers and returns the texts of the steps. It never sees a value,
so it can only teach what follows from the words and the names. `teach` runs the teacher's steps and keeps them only if
the answer is correct.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from recipes.toy.execution import answers_match, run_steps
from recipes.toy.gsm_teachers import gsm_steps
from treestar.policy.formats.binding import Binding, bind_numbers
from treestar.types import Problem

__all__ = ["TEACHERS", "Teacher", "teach"]

Teacher = Callable[[str], "list[str] | None"]
"""From a question with names to the texts of the steps, or None if the teacher does not know its wording."""

MOST_STEPS = 16
NAME = re.compile(r"\bn\d+\b")
LETTERS = "abcdefghijklm"

LEGS = {
    0: ("snake", "sea slug", "jellyfish", "flatworm", "leech"),
    2: ("chicken", "bird", "human", "duck"),
    4: ("dog", "cat", "cow", "horse", "lion", "elephant", "giraffe", "tiger", "deer", "sheep"),
    5: ("starfish",),
    6: ("insect", "ant", "butterfly", "beetle", "bee", "wasp", "grasshopper", "cricket", "cockroach",
        "praying mantis", "firefly"),
    8: ("spider", "scorpion"),
    10: ("crab", "lobster", "shrimp"),
    14: ("woodlouse",),
}  # fmt: skip
LEGS_OF = {animal: legs for legs, animals in LEGS.items() for animal in animals}


def teach(problem: Problem, binding: Binding | None = None) -> list[str] | None:
    """The texts of the steps that solve `problem`, or None if no teacher gets the right answer.

    Args:
        problem: with a gold answer, and its family (for gsm_symbolic also its template) in the metadata.
        binding: the names to use; `bind_numbers(problem.question)` by default.
    """
    binding = binding or bind_numbers(problem.question)
    family = problem.metadata["family"]
    if family == "gsm_symbolic":
        steps = gsm_steps(problem.metadata["template"], problem.question, [name for name, _ in binding.values])
    else:
        steps = TEACHERS[family](binding.question) if family in TEACHERS else None
    if steps is None or len(steps) > MOST_STEPS:
        return None
    output = run_steps(binding.preamble, steps)
    if output is None or not answers_match(output, problem.answer or ""):
        return None
    return steps


def finish(lines: Sequence[tuple[str, str]], answer: str) -> list[str]:
    """Step texts from (comment, code) pairs, with the printing step at the end."""
    steps = [f"# Step {index}: {comment}\n{code}" for index, (comment, code) in enumerate(lines, start=1)]
    return [*steps, f"# Now print the final answer\nprint({answer})"]


def chain_sum(question: str) -> list[str] | None:
    """Process the terms one by one: 'n0 + n1 - n2 ='."""
    expression = question.partition("problem:")[2]
    terms = re.findall(r"([+-]?)\s*(n\d+)", expression)
    if not terms:
        return None
    lines = [(f"start with {terms[0][1]}", f"total = {terms[0][1]}")]
    for sign, name in terms[1:]:
        verb = "add" if sign == "+" else "subtract"
        lines.append((f"{verb} {name}", f"total = total {sign} {name}"))
    return finish(lines, "total")


def folded(question: str, function: str, first: str) -> list[str] | None:
    """Apply gcd or lcm to the first two numbers, then to the result and each remaining number."""
    names = NAME.findall(question)
    if len(names) < 2:
        return None
    lines = [
        (
            f"{first} of {names[0]} and {names[1]}",
            f"from math import {function}\nresult = {function}({names[0]}, {names[1]})",
        )
    ]
    lines += [(f"now with {name}", f"result = {function}(result, {name})") for name in names[2:]]
    return finish(lines, "result")


def gcd(question: str) -> list[str] | None:
    return folded(question, "gcd", "greatest common divisor")


def lcm(question: str) -> list[str] | None:
    return folded(question, "lcm", "least common multiple")


def products(question: str) -> list[str] | None:
    names = NAME.findall(question)
    if len(names) < 2:
        return None
    lines = [(f"multiply {names[0]} by {names[1]}", f"product = {names[0]} * {names[1]}")]
    lines += [(f"multiply by {name}", f"product = product * {name}") for name in names[2:]]
    return finish(lines, "product")


def count_primes(question: str) -> list[str] | None:
    names = NAME.findall(question)
    if len(names) != 2:
        return None
    low, high = names
    lines = [
        (
            f"the primes from {low} to {high}",
            f"from sympy import primerange\nprimes = list(primerange({low}, {high} + 1))",
        ),
        ("count them", "count = len(primes)"),
    ]
    return finish(lines, "count")


def simple_equations(question: str) -> list[str] | None:
    """Solve 'k*x + c = r' (in any order and with any signs) by moving c and dividing by k."""
    equation = question.rpartition(": ")[2]
    left, _, right = equation.partition(" = ")
    terms = re.findall(r"([+-]?)\s*(n\d+\*[a-z]|n\d+|[a-z])(?![\w*])", left)
    right = right.strip()
    if "".join(sign + term for sign, term in terms) != left.replace(" ", "") or not re.fullmatch(r"-?n\d+", right):
        return None
    constants = [(sign, term) for sign, term in terms if re.fullmatch(r"n\d+", term)]
    unknowns = [(sign, term) for sign, term in terms if not re.fullmatch(r"n\d+", term)]
    if len(unknowns) != 1 or len(constants) > 1:
        return None
    sign, term = unknowns[0]
    factor, _, variable = term.rpartition("*")
    lines: list[tuple[str, str]] = []
    if constants:
        moved = "+" if constants[0][0] == "-" else "-"
        lines.append((f"move {constants[0][1]} to the right", f"right = {right} {moved} {constants[0][1]}"))
        right = "right"
    minus = "-" if sign == "-" else ""
    if factor:
        lines.append((f"divide by {minus}{factor}", f"{variable} = {right} // {minus}{factor}"))
    else:
        lines.append((f"that is {minus}{variable}", f"{variable} = {minus}{right}"))
    return finish(lines, variable)


def simple_geometry(question: str) -> list[str] | None:
    """The angle sum minus each known angle. The first two numbers count the sides and the known angles."""
    names = NAME.findall(question)
    if len(names) < 4:
        return None
    lines = [(f"the angle sum of {names[0]} sides", f"rest = ({names[0]} - 2) * 180")]
    lines += [(f"subtract the angle {name}", f"rest = rest - {name}") for name in names[2:]]
    return finish(lines, "rest")


def leg_counting(question: str) -> list[str] | None:
    """One animal per step: '... if you have n0 woodlouses, n1 leechs?'."""
    lines: list[tuple[str, str]] = []
    for name, animals in re.findall(r"(n\d+) ([a-z ]+)", question.partition("have ")[2]):
        legs = LEGS_OF.get(animals.removesuffix("s"), LEGS_OF.get(animals))
        if legs is None:
            return None
        before = "legs + " if lines else ""
        lines.append((f"{name} {animals} have {legs} legs each", f"legs = {before}{name} * {legs}"))
    return finish(lines, "legs") if lines else None


def fraction_simplification(question: str) -> list[str] | None:
    names = NAME.findall(question)
    if len(names) != 2:
        return None
    top, bottom = names
    lines = [
        (f"greatest common divisor of {top} and {bottom}", f"from math import gcd\nresult = gcd({top}, {bottom})"),
        ("divide the numerator", f"top = {top} // result"),
        ("divide the denominator", f"bottom = {bottom} // result"),
    ]
    return finish(lines, 'f"{top}/{bottom}"')


def basic_arithmetic(question: str) -> list[str] | None:
    """Rewrite the expression one operation at a time, innermost parentheses first, and state what is left of it."""
    match = re.search(r"(?:Calculate|Solve|What is|Compute|Evaluate:) (.+?)[.?]?$", question)
    if match is None:
        return None
    tokens = operands(match.group(1))
    letters = iter(LETTERS)
    lines = []
    while len(tokens) > 1:
        place = next_operation(tokens)
        letter = next(letters, None)
        if place is None or letter is None:
            return None
        left, operator, right = tokens[place : place + 3]
        tokens[place : place + 3] = [letter]
        drop_brackets(tokens, place)
        code = f"{letter} = {left} {operator.replace('/', '//')} {right}"
        lines.append((f"{left} {operator} {right} is {letter}, leaving {' '.join(tokens)}", code))
    return finish(lines, tokens[0])


def operands(expression: str) -> list[str]:
    """'( -n0 - n1 ) * n2' as operands with their signs, operators and parentheses, which may have a sign too."""
    tokens: list[str] = []
    for sign, body in re.findall(r"(-?)(n\d+|\(|\)|[+*/])|(?<=\s)-(?=\s)", expression):
        tokens.append(sign + body if body else "-")
    return tokens


def drop_brackets(tokens: list[str], place: int) -> None:
    """Remove all parentheses that contain nothing but the operand at `place`; two signs cancel."""
    while place > 0 and tokens[place - 1] in ("(", "-(") and tokens[place + 1] == ")":
        operand = tokens[place]
        if tokens[place - 1] == "-(":
            operand = operand.removeprefix("-") if operand.startswith("-") else "-" + operand
        tokens[place - 1 : place + 2] = [operand]
        place -= 1


def next_operation(tokens: Sequence[str]) -> int | None:
    """The index at which the next operation begins: in the first innermost parentheses, * and / before + and -."""
    close = tokens.index(")") if ")" in tokens else len(tokens)
    opening = [index for index in range(close) if tokens[index] in ("(", "-(")]
    begin = opening[-1] + 1 if opening else 0
    operators = range(begin + 1, close, 2)
    for group in ("*/", "+-"):
        for index in operators:
            if tokens[index] in group:
                return index - 1
    return None


TEACHERS: dict[str, Teacher] = {
    "chain_sum": chain_sum,
    "gcd": gcd,
    "lcm": lcm,
    "products": products,
    "count_primes": count_primes,
    "simple_equations": simple_equations,
    "simple_geometry": simple_geometry,
    "basic_arithmetic": basic_arithmetic,
    "leg_counting": leg_counting,
    "fraction_simplification": fraction_simplification,
}
"""One teacher per family; gsm_symbolic has one program per template, in `gsm_teachers`."""
