"""Number binding: every number of a question gets a name, and the steps compute with the names.

A small model copies a one-token name reliably, and digits not at all once they are wider than those it was taught; so
the `bound` step format hides digits from it. The values are assigned in the interpreter before the first step
(`Binding.preamble`), and people always see text with the values put back (`show_values`).

Invariants: `bind_numbers` is a pure function of its arguments and never raises; names are given in the order in which
the numbers stand in the question; every number has its own name, also where two numbers are equal; a sign is never part
of a number ("2 - -1" reads "n3 - -n4"), so no value is negative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FIXED_START", "NAME_COUNT", "Binding", "bind_numbers", "show_values"]

NAME_COUNT = 40
"""The names are n0 ... n39, one token each in the embedded model's tokenizer."""

FIXED_START = 3
"""The first number's name at inference is n3. Training moves the start at random, so that every name is learnt."""

LONGEST_NUMBER = 300
"""Numbers of more characters stay digits: Python refuses to read integers of more than 4300 of them."""

_NUMBER = re.compile(
    r"""
    (?<![A-Za-z_0-9.])                        # x2, B12 and the tail of another number are no numbers of the question
    (?P<number>
        [0-9]{1,3} (?: ,[0-9]{3} )+ (?![0-9]) (?: \.[0-9]+ )?     # 1,200 and 1,200.50
      | [0-9]+ (?: \.[0-9]+ )?                                    # 7, 007, 2.50
      | \.[0-9]+                                                  # .5
    )
    (?! (?: st | nd | rd | th ) \b )          # 2nd and 3rd are words
    (?P<letter> (?= [A-Za-z_] ) )?            # 5km: the name needs a space after it to stay a word of its own
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
    """(name, Python literal) for each bound number, in the question's order, e.g. ("n3", "160")."""

    @property
    def preamble(self) -> str:
        """The assignments as Python source, one a line, to be run before the first step; "" without numbers."""
        return "\n".join(f"{name} = {literal}" for name, literal in self.values)


def bind_numbers(question: str, start: int = FIXED_START) -> Binding:
    """Give the numbers of `question` the names n<start>, n<start + 1>, ...

    A name that the question itself uses as a word is skipped. Numbers beyond the last name stay digits in place.
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
    """`text` (a question, a comment or code) with the values in place of the names; other text is left as it is.

    A negative value gets parentheses, so that code keeps its meaning.
    """
    values = dict(binding.values)

    def value_of(match: re.Match[str]) -> str:
        literal = values.get(match.group(), match.group())
        return f"({literal})" if literal.startswith("-") else literal

    return _NAME.sub(value_of, text)


def _literal(number: str) -> str:
    """A number as written in a question, as a Python literal: without thousands commas and leading zeros."""
    whole, point, decimals = number.replace(",", "").partition(".")
    return (whole.lstrip("0") or "0") + point + decimals
