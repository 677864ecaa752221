"""New questions from a known one: other numbers in question and program together, and other people.

A changed question is kept only if its program still makes sense: no value turns negative, becomes a fraction where it
was a whole number, or leaves the size it had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from random import Random

from recipes.word_problems.program import Line, WordProblem, value_of
from recipes.word_problems.words import NUMBER_WORDS, WORDS

__all__ = ["varied", "with_number_words", "with_other_people"]

TRIES = 30

NUMBER = re.compile(r"(?<![\w.,/:])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?![\w/:]|[.,]\d)")
"""A number in a question that stands alone: not part of a word, a fraction, a date or a time."""

LITERAL = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])")

IMPLIED_BY = {
    "2": "twice|double|half|pair|two|both|second",
    "3": "triple|thrice|three|third",
    "4": "quarter|four",
    "5": "five|fifth|nickel",
    "7": "week|seven",
    "10": "dime|ten|decade",
    "12": "dozen|year|month|feet|foot|inch",
    "24": "day|hour",
    "25": "quarter",
    "30": "month",
    "52": "year|week",
    "60": "hour|minute|second",
    "100": "%|percent|cent|century|meter",
    "365": "year",
    "1000": "kilo|thousand|km|kg|gram|meter",
}
"""Words by which a question can mean a number of its program. The same number in figures is then left alone: it is not
known which of the two the program means."""

SPOKEN = re.compile(r"(?<![\w.,/:$€£#-])(\d{1,2})(?= [a-z])(?! [ap]\.?m\b)")
"""A number that may as well be written as a word: before a word, and not money, a time or a part of a date."""

LARGEST_GROWTH = 8
"""How many times larger or smaller than before a value may become."""


def varied(found: WordProblem, random: Random, label: str) -> WordProblem | None:
    """The question with other numbers, where it has numbers that can be changed; None after some tries in vain."""
    changeable = numbers_to_change(found)
    if not changeable:
        return None
    before = values(found.lines)
    for _ in range(TRIES):
        new = {number: other_number(number, random) for number in changeable}
        if len(set(new.values())) < len(new) or all(one == other for one, other in new.items()):
            continue
        lines = tuple(replace(line, expression=with_literals(line.expression, new)) for line in found.lines)
        try:
            after = values(lines)
        except ValueError:
            continue
        if all(map(alike, before, after)):
            question = with_numbers(found.question, new)
            answer = text_of(after[-1])
            return replace(found, id=f"{found.id}-{label}", question=question, lines=lines, answer=answer)
    return None


def numbers_to_change(found: WordProblem) -> list[str]:
    """The numbers that are once in the question, in the program too, and that no word of the question implies."""
    asked = [match[1].replace(",", "") for match in NUMBER.finditer(found.question)]
    used = [match[1] for line in found.lines for match in LITERAL.finditer(line.expression)]
    text = found.question.lower()
    return [
        number
        for number in dict.fromkeys(asked)
        if asked.count(number) == 1
        and number in used
        and not (number in IMPLIED_BY and re.search(IMPLIED_BY[number], text))
    ]


def other_number(number: str, random: Random) -> str:
    """A random number of the same kind: whole or with as many decimals, of a similar size, round if it was round."""
    if "." in number:
        decimals = len(number.partition(".")[2])
        return f"{float(number) * random.uniform(0.5, 2):.{decimals}f}"
    value = int(number)
    if value < 10:
        return str(random.randint(2, 12))
    unit = next(unit for unit in (1000, 100, 10, 5, 1) if value % unit == 0 and value > unit)
    return str(unit * max(2, round(value / unit * random.uniform(0.4, 2.2))))


def values(lines: tuple[Line, ...]) -> list[Fraction]:
    """The value of every line. Raises ValueError as `value_of`."""
    found: dict[str, Fraction] = {}
    for line in lines:
        found[line.name] = value_of(line.expression, found)
    return list(found.values())


def alike(before: Fraction, after: Fraction) -> bool:
    """Whether a value is still plausible: its sign, its size, and at most as many decimals as it had."""
    if (before > 0) != (after > 0) or (before == 0) != (after == 0):
        return False
    if before != 0 and not 1 / LARGEST_GROWTH <= after / before <= LARGEST_GROWTH:
        return False
    return (after * decimals(before)).denominator == 1


def decimals(value: Fraction) -> int:
    """The least of 1, 10 and 100 that makes the value whole; 100 if none does."""
    return next((unit for unit in (1, 10) if (value * unit).denominator == 1), 100)


def with_literals(expression: str, new: Mapping[str, str]) -> str:
    return LITERAL.sub(lambda match: new.get(match[1], match[1]), expression)


def with_numbers(question: str, new: Mapping[str, str]) -> str:
    return NUMBER.sub(lambda match: spelled(match[1], new), question)


def spelled(number: str, new: Mapping[str, str]) -> str:
    """The number's replacement, with separators of thousands if it had them."""
    replacement = new.get(number.replace(",", ""))
    if replacement is None:
        return number
    return f"{int(replacement):,}" if "," in number else replacement


def text_of(value: Fraction) -> str:
    return str(int(value)) if value.denominator == 1 else f"{float(value):.8g}"


def with_number_words(found: WordProblem) -> WordProblem:
    """The question with its whole numbers below a hundred as words, where a word follows them; the same program."""
    question = SPOKEN.sub(lambda match: NUMBER_WORDS[int(match[1])], found.question)
    return replace(found, question=question[:1].upper() + question[1:])


def with_other_people(found: WordProblem, random: Random) -> WordProblem:
    """The question with its first names exchanged for others of the same pronouns, also in its program."""
    present = set(re.findall(r"\b[A-Z][a-z]+\b", found.question))
    exchange: dict[str, str] = {}
    for names in (WORDS["girl"], WORDS["boy"]):
        known = [name for name in names if name in present]
        others = random.sample([name for name in names if name not in present], len(known))
        exchange |= dict(zip(known, others, strict=True))
    if not exchange:
        return found
    exchange |= {one.lower(): other.lower() for one, other in exchange.items()}
    # A name can be a part of a variable's, such as emma_apples.
    pattern = re.compile(rf"(?<![A-Za-z])({'|'.join(exchange)})(?![A-Za-z])")

    def exchanged(text: str) -> str:
        return pattern.sub(lambda match: exchange[match[1]], text)

    lines = tuple(
        Line(exchanged(line.comment), exchanged(line.name), exchanged(line.expression)) for line in found.lines
    )
    return replace(found, question=exchanged(found.question), lines=lines)
