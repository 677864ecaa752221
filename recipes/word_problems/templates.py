"""Everyday questions from templates: plain arithmetic, percentages, prices, time, units, shapes, averages, sharing.

A template is data: wordings with places for numbers and words, and the program that answers all of its wordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from random import Random

import yaml

from recipes.word_problems.program import Line, WordProblem, value_of
from recipes.word_problems.variation import text_of
from recipes.word_problems.words import WORDS

__all__ = ["Template", "expressions", "filled", "template_questions", "templates"]

FILE = Path(__file__).with_name("templates.yaml")


EXPRESSION_EVERY = 7

WORDINGS = (
    "What is {}?",
    "What's {}?",
    "Calculate {}.",
    "Compute {}.",
    "Evaluate {}.",
    "{} = ?",
    "How much is {}?",
    "Work out {}.",
    "{}",
)


@dataclass(frozen=True)
class Template:
    """Questions with one program."""

    name: str
    wordings: Sequence[str]
    numbers: Mapping[str, Sequence[float | str]]
    lines: Sequence[Sequence[str]]
    """Comment, name and expression of every line; numbers stand in braces."""
    whole: bool = False
    """Whether every line's value must be a whole number."""


def templates() -> list[Template]:
    """All templates of the file."""
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [
        Template(**{**each, "numbers": {name: choices_of(spec) for name, spec in each["numbers"].items()}})
        for each in entries
    ]


def choices_of(spec: str | list[float | str]) -> Sequence[float | str]:
    """The numbers that `2..60`, `10..200 step 5` or a list means."""
    if isinstance(spec, list):
        return spec
    bounds, _, step = spec.partition(" step ")
    first, last = map(int, bounds.split(".."))
    return range(first, last + 1, int(step or 1))


def template_questions(seed: int, count: int) -> Iterator[WordProblem]:
    """`count` different questions: one in EXPRESSION_EVERY is plain arithmetic, the others come from the templates.

    Args:
        seed: another seed gives other questions.
    """
    random = Random(seed)
    known, arithmetic = templates(), expressions(random)
    seen: set[str] = set()
    turn = 0
    while len(seen) < count:
        turn += 1
        found = next(arithmetic) if turn % EXPRESSION_EVERY == 0 else filled(known[turn % len(known)], random)
        if found is None or found.question in seen:
            continue
        seen.add(found.question)
        yield replace(found, id=f"template-{seed}-{len(seen)}")


def filled(template: Template, random: Random) -> WordProblem | None:
    """One question of a template; None if the numbers drawn give an odd answer."""
    numbers = {name: str(random.choice(choices)) for name, choices in template.numbers.items()}
    words = {name: random.choice(choices) for name, choices in WORDS.items()}
    while words["person"] in (words["girl"], words["boy"]):
        words["person"] = random.choice(WORDS["person"])
    lines = tuple(Line(comment, name, expression.format(**numbers)) for comment, name, expression in template.lines)
    values: dict[str, Fraction] = {}
    for line in lines:
        values[line.name] = value_of(line.expression, values)
    found = list(values.values())
    if any(value <= 0 for value in found) or (template.whole and any(value.denominator > 1 for value in found)):
        return None
    if (found[-1] * 100).denominator > 1:
        return None
    question = random.choice(template.wordings).format(**numbers, **words)
    return WordProblem("", question[0].upper() + question[1:], lines, text_of(found[-1]), f"template/{template.name}")


def expressions(random: Random) -> Iterator[WordProblem]:
    """Plain arithmetic of two to five operands, without end."""
    while True:
        written = expression(random, random.choice((2, 2, 2, 3, 3, 4, 5)))
        try:
            value = value_of(written, {})
        except ValueError:
            continue
        if (value * 100).denominator > 1 or abs(value) > 10**7:
            continue
        question = random.choice(WORDINGS).format(as_people_write(written, random))
        yield WordProblem("", question, (Line("value", "value", written),), text_of(value), "template/expression")


def expression(random: Random, operands: int) -> str:
    """A random expression; a part of it is sometimes in parentheses."""
    parts = [number(random)]
    for _ in range(operands - 1):
        parts += [random.choices("+-*/", weights=(4, 4, 3, 1))[0], number(random)]
    if operands > 2 and random.random() < 0.4:
        start = 2 * random.randrange(operands - 1)
        if start or operands > 2:
            parts[start] = "(" + parts[start]
            parts[start + 2] += ")"
    return " ".join(parts)


def number(random: Random) -> str:
    kind = random.random()
    if kind < 0.5:
        return str(random.randint(2, 20))
    if kind < 0.85:
        return str(random.randint(10, 200))
    return str(random.randint(100, 5000)) if kind < 0.94 else f"{random.uniform(0.1, 50):.{random.choice((1, 2))}f}"


def as_people_write(written: str, random: Random) -> str:
    """The expression in one of the notations that people type."""
    kind = random.random()
    if kind < 0.2:
        written = written.replace("*", "x")
    elif kind < 0.35:
        written = written.replace("*", "×").replace("/", "÷")
    elif kind < 0.5 and "(" not in written:
        words = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
        return " ".join(words.get(part, part) for part in written.split())
    return written.replace(" ", "") if random.random() < 0.2 else written
