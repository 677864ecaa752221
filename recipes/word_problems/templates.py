"""Everyday questions from templates: plain arithmetic, percentages, prices, time, units, shapes, averages, sharing.

A template is data: wordings with places for numbers and words, and the program that answers all of its wordings. A
situation is told once and asked about in several ways, each with another program, so that the words and numbers alone
do not tell the operation; some of its numbers are not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from recipes.word_problems.program import Line, WordProblem, value_of
from recipes.word_problems.variation import text_of
from recipes.word_problems.words import WORDS

__all__ = ["Template", "expressions", "filled", "template_questions", "templates"]

FILES = [Path(__file__).with_name(name) for name in ("templates.yaml", "kinds.yaml")]
SITUATIONS = Path(__file__).with_name("situations")
"""A folder of files by subject."""

CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
"""Texts of which one is drawn: `[one|other]`. They can contain another such choice."""

CARELESS = 0.08
"""The share of questions that are typed without capitals and without the mark at the end."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

EXPRESSION_EVERY = 9
TEMPLATE_EVERY = 3
"""How often a question comes from these; see `template_questions`."""

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
    setups: Sequence[str] = ("",)
    """What is told before the wording, which asks."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Numbers that are told too and follow from `numbers`, as expressions of these."""


@cache
def templates() -> list[Template]:
    """All templates of the files."""
    entries = [entry for file in FILES for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]
    return [Template(**{**each, "numbers": numbers_of(each)}) for each in entries]


@cache
def situations() -> list[list[Template]]:
    """For every situation of the files one template per way of asking."""
    files = sorted(SITUATIONS.glob("*.yaml"))
    entries = [entry for file in files for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]
    return [
        [
            Template(
                each["name"],
                ask["ask"],
                numbers_of(each),
                ask["lines"],
                each.get("whole", False),
                each.get("setup", ("",)),
                each.get("given", {}),
            )
            for ask in each["asks"]
        ]
        for each in entries
    ]


def numbers_of(entry: Mapping[str, Any]) -> dict[str, Sequence[float | str]]:
    return {name: choices_of(spec) for name, spec in entry["numbers"].items()}


def choices_of(spec: str | list[float | str]) -> Sequence[float | str]:
    """The numbers that `2..60`, `10..200 step 5` or a list means."""
    if isinstance(spec, list):
        return spec
    bounds, _, step = spec.partition(" step ")
    first, last = map(int, bounds.split(".."))
    return range(first, last + 1, int(step or 1))


def template_questions(seed: int, count: int) -> Iterator[WordProblem]:
    """`count` different questions: one in EXPRESSION_EVERY is plain arithmetic, of the others one in TEMPLATE_EVERY
    comes from a template, and the rest from situations.

    Args:
        seed: another seed gives other questions.
    """
    random = Random(seed)
    known, told, arithmetic = templates(), situations(), expressions(random)
    seen: set[str] = set()
    turn = 0
    while len(seen) < count:
        turn += 1
        if turn % EXPRESSION_EVERY == 0:
            found: WordProblem | None = next(arithmetic)
        elif turn % TEMPLATE_EVERY == 0:
            found = filled(random.choice(known), random)
        else:
            found = filled(random.choice(random.choice(told)), random)
        if found is None or found.question in seen:
            continue
        seen.add(found.question)
        yield replace(found, id=f"template-{seed}-{len(seen)}")


def filled(template: Template, random: Random) -> WordProblem | None:
    """One question of a template; None if the numbers drawn give an odd answer."""
    drawn = {name: str(random.choice(choices)) for name, choices in template.numbers.items()}
    follow = {name: text_of(value_of(each.format(**drawn), {})) for name, each in template.given.items()}
    numbers = {**drawn, **follow}
    words = drawn_words(random)
    wording = f"{random.choice(template.setups)} {random.choice(template.wordings)}".strip()
    lines = tuple(
        Line(comment.format(**numbers, **words), name, expression.format(**numbers))
        for comment, name, expression in template.lines
    )
    values: dict[str, Fraction] = {}
    for line in lines:
        values[line.name] = value_of(line.expression, values)
    found = list(values.values())
    if any(value <= 0 for value in found) or (template.whole and any(value.denominator > 1 for value in found)):
        return None
    if (found[-1] * 100).denominator > 1:
        return None
    question = chosen(wording, random).format(**numbers, **words)
    typed = question[0].upper() + question[1:] if random.random() > CARELESS else question.lower().rstrip(".?")
    return WordProblem("", typed, lines, text_of(found[-1]), f"template/{template.name}")


def drawn_words(random: Random) -> dict[str, str]:
    """A word for every place: {person} has the pronouns {he} and {his}; {other} is somebody else, {things2} other
    things, and {weekday} a day."""
    words = {name: random.choice(choices) for name, choices in WORDS.items()}
    group = random.choice(("girl", "boy"))
    people = [name for name in WORDS[group] if name != words[group]]
    words["person"], words["other"] = random.sample(people, 2)
    words["he"], words["his"] = ("she", "her") if group == "girl" else ("he", "his")
    words["He"] = words["he"].capitalize()
    words["things2"] = random.choice([things for things in WORDS["things"] if things != words["things"]])
    words["weekday"] = random.choice(WEEKDAYS)
    return words


def chosen(text: str, random: Random) -> str:
    """The text with one text drawn for every choice in it, inner ones first."""
    while CHOICE.search(text):
        text = CHOICE.sub(lambda found: random.choice(found[1].split("|")), text)
    return " ".join(text.split())


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
