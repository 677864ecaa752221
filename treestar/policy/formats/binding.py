"""Number binding: every number of a question gets a name, and the steps compute with the names.

A small model copies a one-token name reliably, but not digits once a number is longer than those it was trained on. So
the bound format hides digits from the model. The values are assigned in the interpreter before the first step
(`Binding.preamble`), and people always see text with the values restored (`show_values`).

Invariants: `bind_numbers` is a pure function of its arguments and never raises. Names are assigned in the order in
which the numbers appear in the question. Every number has its own name, even where two numbers are equal. A sign is
never part of a number ("2 - -1" reads "n3 - -n4"), so no value is negative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FIXED_START", "NAME_COUNT", "Binding", "bind_numbers", "show_values"]

NAME_COUNT = 40
"""The names are n0 ... n39, one token each in the shipped models' tokenizer."""

FIXED_START = 3
"""The first number's name at inference is n3. Training moves the start at random, so that every name is learned."""

LONGEST_NUMBER = 300
"""Numbers with more characters stay digits: Python refuses to read integers of more than 4300 digits."""

_NUMBER = re.compile(
    r"""
    (?<![A-Za-z_0-9.])                        # not x2, B12, or the tail of another number
    (?P<number>
        [0-9]{1,3} (?: ,[0-9]{3} )+ (?![0-9]) (?: \.[0-9]+ )?     # 1,200 and 1,200.50
      | [0-9]+ (?: \.[0-9]+ )?                                    # 7, 007, 2.50
      | \.[0-9]+                                                  # .5
    )
    (?! (?: st | nd | rd | th ) \b )          # 2nd and 3rd are words
    (?P<letter> (?= [A-Za-z_] ) )?            # 5km: the name needs a space after it to stay a separate word
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"\bn([0-9]{1,3})\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class Binding:
    """A question with names in place of its numbers, and the numbers' values."""

    question: str
    """The question as the policy reads it."""
    values: tuple[tuple[str, str], ...] = ()
    """(name, Python literal) of each named number, in the question's order, such as ("n3", "160")."""

    @property
    def preamble(self) -> str:
        """The assignments as Python source, one per line, to run before the first step; "" without numbers."""
        return "\n".join(f"{name} = {literal}" for name, literal in self.values)


def bind_numbers(question: str, start: int = FIXED_START) -> Binding:
    """Give the numbers of `question` the names n<start>, n<start + 1>, ...

    A name that the question itself uses as a word is skipped. Numbers beyond the last name stay digits.
    """
    taken = {match.group() for match in _NAME.finditer(question)}
    free = iter([name for name in (f"n{index}" for index in range(start, NAME_COUNT)) if name not in taken])
    values: list[tuple[str, str]] = []

    def name_of(match: re.Match[str]) -> str:
        number = match.group("number")
        name = next(free, None) if len(number) <= LONGEST_NUMBER else None
        if name is None:
            return match.group()
        values.append((name, _literal(number)))
        return name if match.group("letter") is None else name + " "

    bound = _NUMBER.sub(name_of, question)
    return Binding(bound, tuple(values))


def show_values(text: str, binding: Binding) -> str:
    """`text` (a question, a comment or code) with the values in place of the names; everything else is unchanged.

    A negative value gets parentheses, so that code keeps its meaning.
    """
    values = dict(binding.values)

    def value_of(match: re.Match[str]) -> str:
        literal = values.get(match.group(), match.group())
        return f"({literal})" if literal.startswith("-") else literal

    return _NAME.sub(value_of, text)


def _literal(number: str) -> str:
    """A number from a question as a Python literal: without thousands separators and leading zeros."""
    whole, point, decimals = number.replace(",", "").partition(".")
    return (whole.lstrip("0") or "0") + point + decimals
