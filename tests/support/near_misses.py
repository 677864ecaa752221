"""Pairs of answers that almost mean the same, and other ways to write one answer, from a seeded random generator."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

__all__ = ["KINDS", "NearMiss", "answer", "near_miss", "rewritten"]


class NearMiss(NamedTuple):
    """Two answers that differ in one thing."""

    kind: str
    gold: str
    other: str


LETTERS = "abckmnpqtxyz"
UNITS = ("cm", "m", "km", "g", "kg", "s", "h", "min", "L", "mL")
ATTACHED = (
    "{}^{{-1}}", "{}'", "{}_1", "2{}", "{}+1", "-{}", "{}^2", "|{}|", "\\bar{{{}}}", "\\mathrm{{{}}}^{{T}}",
    "\\mathrm{{{}}}+x", "({})-1", "\\text{{{}}}^{{-1}}", "{}x", "\\frac{{{}}}{{2}}", "\\sqrt{{{}}}",
    "\\mathbf{{{}}}\\cdot 3",
    "{}!", "{}(x)", "\\vec{{{}}}",
)  # fmt: skip


def number(random: Random) -> int:
    return random.choice([random.randint(2, 12), random.randint(13, 999), random.randint(1000, 10**7)])


def other_number(random: Random, value: int) -> int:
    """A number that differs in one digit, or by one."""
    digits = list(str(value))
    place = random.randrange(len(digits))
    digits[place] = random.choice([digit for digit in "123456789" if digit != digits[place]])
    return random.choice([int("".join(digits)), value + 1])


def polynomial(random: Random) -> list[int]:
    return [random.choice([-1, 1]) * random.randint(2, 9) for _ in range(3)]


def written(coefficients: list[int], letter: str) -> str:
    a, b, c = coefficients
    return f"{a}{letter}^{{2}}{b:+}{letter}{c:+}"


def sign(random: Random) -> tuple[str, str]:
    if random.random() < 0.4:
        value = number(random)
        return str(value), f"-{value}"
    coefficients, letter = polynomial(random), random.choice(LETTERS)
    changed = list(coefficients)
    place = random.randrange(3)
    changed[place] = -changed[place]
    return written(coefficients, letter), written(changed, letter)


def digit(random: Random) -> tuple[str, str]:
    value = number(random)
    other = other_number(random, value)
    form = random.choice(
        ["{}", "{}\\pi", "{}\\sqrt{{2}}", "x={}", "{} \\text{{ cm}}", "\\frac{{{}}}{{7}}", "{}\\%", "0.{}1"]
    )
    return form.format(value), form.format(other)


def exponent(random: Random) -> tuple[str, str]:
    one, other = random.sample(range(2, 9), 2)
    form = random.choice(
        ["x^{{{}}}+1", "2^{{{}}}", "3 \\times 10^{{{}}}", "e^{{{}}}", "5y^{}", "10^{{-{}}}", "(x+1)^{{{}}}"]
    )
    return form.format(one), form.format(other)


def denominator(random: Random) -> tuple[str, str]:
    top, bottom = number(random), number(random)
    form = random.choice(["\\frac{{{}}}{{{}}}", "{}/{}", "\\frac{{{}\\pi}}{{{}}}", "\\frac{{{}}}{{{}x}}"])
    return form.format(top, bottom), form.format(top, other_number(random, bottom))


def order(random: Random) -> tuple[str, str]:
    a, b = random.sample(range(-20, 20), 2)
    form = random.choice(
        ["({},{})", "({}, {})", "\\langle {}, {} \\rangle", "x={}, y={}", "\\begin{{pmatrix}}{}\\\\{}\\end{{pmatrix}}"]
    )
    return form.format(a, b), form.format(b, a)


def ends(random: Random) -> tuple[str, str]:
    low = random.randint(-20, 10)
    high = low + random.randint(1, 20)
    first, second = random.sample(["[]", "[)", "(]", "()"], 2)
    shapes = [f"{brackets[0]}{low},{high}{brackets[1]}" for brackets in (first, second)]
    signs = {"[": "\\le", "(": "<", "]": "\\le", ")": "<"}
    if random.random() < 0.3:
        shapes[1] = f"{low} {signs[second[0]]} x {signs[second[1]]} {high}"
    return shapes[0], shapes[1]


def unit(random: Random) -> tuple[str, str]:
    value = number(random)
    one, other = random.sample(UNITS, 2)
    form = random.choice(["{} \\text{{ {}}}", "{}\\mathrm{{ {}}}", "{} {}"])
    return form.format(value, one), form.format(value, other)


def attachment(random: Random) -> tuple[str, str]:
    letter = random.choice("ABCDEFGHxyn")
    gold = random.choice([letter, letter, f"\\mathrm{{{letter}}}", f"({letter})"])
    return gold, random.choice(ATTACHED).format(letter)


def element(random: Random) -> tuple[str, str]:
    values = random.sample(range(-30, 30), 3)
    form = random.choice(["{}", "\\{{{}\\}}", "({})", "[{}]"])
    gold = ", ".join(map(str, values))
    changed = random.choice([values[:2], [*values, values[0] + 61], [values[0], values[1], values[2] + 71]])
    return form.format(gold), form.format(", ".join(map(str, changed)))


def relation(random: Random) -> tuple[str, str]:
    value = random.randint(-20, 20)
    one, other = random.sample(["<", ">", "\\le", "\\ge", "=", "\\ne"], 2)
    return f"x {one} {value}", f"x {other} {value}"


def matrix(random: Random) -> tuple[str, str]:
    a, b, c, d = random.sample(range(-9, 10), 4)
    form = "\\begin{{pmatrix}}{}&{}\\\\{}&{}\\end{{pmatrix}}"
    changed = random.choice([(a, c, b, d), (a, b, c, d + 1), (b, a, c, d)])
    return form.format(a, b, c, d), form.format(*changed)


def decimal(random: Random) -> tuple[str, str]:
    whole, part = random.randint(2, 99), random.randint(1, 9)
    form = random.choice(
        ["{}, {}", "{} and {}", "\\{{{},{}\\}}", "({},{})", "{}; {}", "${}$, ${}$", "\\boxed{{{}}}, \\boxed{{{}}}"]
    )
    return f"{whole}.{part}", form.format(whole, part)


def factor(random: Random) -> tuple[str, str]:
    value = random.randint(3, 99)
    form = random.choice(
        [
            "{}\\pi",
            "{}\\sqrt{{3}}",
            "\\frac{{\\pi}}{{{}}}",
            "{}x",
            "{}i",
            "\\sqrt{{{}}}",
            "{}e",
            "\\ln {}",
            "{}!",
            "{}^{{\\circ}} C + 1",
        ]
    )
    return str(value), form.format(value)


def function(random: Random) -> tuple[str, str]:
    one, other = random.sample(["\\sin", "\\cos", "\\tan", "\\ln", "\\arctan"], 2)
    argument = random.choice(["x", "2x", "(x+1)", "\\frac{x}{2}"])
    return f"{one} {argument}", f"{other} {argument}"


def undelimited(random: Random) -> tuple[str, str]:
    value = random.randint(3, 99)
    form = random.choice(
        ["pi/{}", "{}*sqrt(2)", "x/{}", "sqrt({})", "2^{}", "-{}", "{}x + 1", "\\frac{{1}}{{{}}}", "e^{}"]
    )
    sentence = random.choice(["so the value is {}", "Therefore we get {}.", "Hence the result equals {}"])
    return str(value), sentence.format(form.format(value))


def base(random: Random) -> tuple[str, str]:
    digits = "".join(random.choice("01") for _ in range(5))
    one, other = random.sample(range(2, 9), 2)
    return f"1{digits}_{one}", random.choice([f"1{digits}_{other}", f"1{digits}"])


KINDS: dict[str, Callable[[Random], tuple[str, str]]] = {
    "sign": sign, "digit": digit, "exponent": exponent, "denominator": denominator, "order": order, "ends": ends,
    "unit": unit, "attachment": attachment, "element": element, "relation": relation, "matrix": matrix,
    "decimal": decimal, "factor": factor, "function": function, "undelimited": undelimited, "base": base,
}  # fmt: skip

PLAIN = ("undelimited",)
"""Kinds whose second answer is a sentence already."""
WRITTEN = (
    "{}",
    "${}$",
    "\\boxed{{{}}}",
    "The answer is ${}$.",
    "Therefore the answer is \\(\\boxed{{{}}}\\).",
    "$${}$$",
)


def presented(random: Random, text: str) -> str:
    return text if "$" in text or "boxed" in text or " and " in text else random.choice(WRITTEN).format(text)


def near_miss(random: Random) -> NearMiss:
    """Two answers that differ, each written in a random way."""
    kind = random.choice(list(KINDS))
    gold, other = KINDS[kind](random)
    return NearMiss(kind, presented(random, gold), other if kind in PLAIN else presented(random, other))


def answer(random: Random) -> str:
    """An answer of some kind, without delimiters."""
    return KINDS[random.choice([kind for kind in KINDS if kind not in (*PLAIN, "decimal")])](random)[0]


def rewritten(random: Random, text: str) -> str:
    """`text` with other white space, sizes of brackets, styles and fonts, which mean nothing."""
    spaced = text.replace("=", " = ").replace("+", " + ").replace(",", ", ") if random.random() < 0.5 else text
    if random.random() < 0.5 and "\\begin" not in spaced:
        for bracket in "([":
            spaced = spaced.replace(bracket, f"\\left{bracket}")
        for bracket in ")]":
            spaced = spaced.replace(bracket, f"\\right{bracket}")
    spaced = random.choice(["{}", "\\displaystyle {}", "{}\\,", " {} ", "\\;{}"]).replace("{}", spaced)
    return spaced.replace("\\frac", random.choice(["\\frac", "\\dfrac", "\\tfrac"]))
