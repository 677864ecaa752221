"""Programs from GSM8K's training solutions, which carry calculator annotations: `48/2 = <<48/2=24>>24 clips`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from recipes.word_problems.program import Line, WordProblem, named, value_of, words_of

__all__ = ["program_of_solution"]

ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>]*)>>")
NUMBER = re.compile(r"(?<![\w.])\d*\.?\d+(?![\w.])")
FORMULA = re.compile(r"[\d$€£%*/+=().,\-×÷]+|\b[xX]\b")
"""What a comment leaves out of a solution's words: numbers and formulas."""

COMMENT_WORDS = 12


def program_of_solution(row: Mapping[str, Any]) -> WordProblem | None:
    """The program in an annotated solution; None where it does not follow from the annotations.

    Args:
        row: `id`, `question`, `answer` and `solution` of a GSM8K problem.
    """
    lines: list[Line] = []
    values: dict[str, Fraction] = {}
    for sentence in row["solution"].splitlines():
        for before, expression, result, after in annotations_of(sentence):
            try:
                written = with_names(plain(expression), values)
                value = value_of(written, values)
                told = value_of(plain(result), {})
            except ValueError:
                return None
            if abs(value - told) > Fraction(1, 100) * max(Fraction(1), abs(told)):
                return None
            name = named([words_of(after), words_of(before)[-3:]], values)
            comment = comment_of(before, after) or " ".join(name.rstrip("_0123456789").split("_"))
            lines.append(Line(comment, name, written))
            values[name] = value
    if not lines or values[lines[-1].name] != Fraction(row["answer"].replace(",", "")):
        return None
    if any(number_alone(line) for line in lines) or unused(lines):
        return None
    return WordProblem(row["id"], row["question"], tuple(lines), row["answer"], "gsm8k")


def number_alone(line: Line) -> bool:
    """Whether the line computes nothing: its number was found without a calculation."""
    return bool(re.fullmatch(r"-?[\d.]+", line.expression))


def unused(lines: Sequence[Line]) -> list[str]:
    """The names that no later line uses, apart from the last: a number that was meant is written there instead."""
    return [
        line.name
        for place, line in enumerate(lines[:-1])
        if not any(line.name in re.findall(r"\w+", other.expression) for other in lines[place + 1 :])
    ]


def annotations_of(sentence: str) -> list[tuple[str, str, str, str]]:
    """For every annotation the words before it, its expression, its result, and the words after it."""
    found = list(ANNOTATION.finditer(sentence))
    starts = [0, *[match.end() for match in found]]
    ends = [*[match.start() for match in found[1:]], len(sentence)]
    return [
        (sentence[start : match.start()], match[1], match[2], sentence[match.end() : end])
        for start, match, end in zip(starts, found, ends, strict=False)
    ]


def plain(expression: str) -> str:
    """An annotation's arithmetic as Python: `20%*50` as `20/100*50`, without currency and thousands separators."""
    text = re.sub(r"(?<=\d),(?=\d{3})|[$€£\s]", "", expression)
    text = re.sub(r"(\d*\.?\d+)%", r"(\1/100)", text)
    text = text.replace("×", "*").replace("÷", "/").replace(")(", ")*(")
    text = re.sub(r"(?<=[\d)])[xX](?=[\d(])", "*", text)
    # Python reads 007 as an error and .5 is easily misread.
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", text)
    return re.sub(r"(?<![\d])\.(?=\d)", "0.", text)


def with_names(expression: str, values: Mapping[str, Fraction]) -> str:
    """The expression with operands that equal an earlier result replaced by its name, the latest of equal ones."""
    by_value = {value: name for name, value in values.items()}
    named_operands = NUMBER.sub(lambda match: by_value.get(Fraction(match[0]), match[0]), expression)
    return re.sub(r"\s*(//|[*/+-])\s*", r" \1 ", named_operands).strip().replace("( - ", "(-")


def comment_of(before: str, after: str) -> str:
    """What the line finds, in the solution's own words, without any number."""
    words = FORMULA.sub(" ", f"{before} {after}").split()
    return " ".join(words[:COMMENT_WORDS]).strip(" ,.:;'\"")
