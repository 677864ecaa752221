"""Tokens and tables of the parser in `trees`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

__all__ = [
    "ACCENTS",
    "BEGINS_FACTOR",
    "FUNCTIONS",
    "GREEK",
    "OF_LISTS",
    "OF_STEPS",
    "OPENING",
    "TRIGONOMETRIC",
    "Token",
    "Tree",
    "Unreadable",
    "tokens_of",
]

Tree = tuple[Any, ...]
"""A kind and its parts; `trees` lists the kinds."""

TOKEN = re.compile(
    r"(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\(?:[a-zA-Z]+|.))|(?P<letter>[A-Za-z])|(?P<mark>\S))(?P<space>\s*)"
)
TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc")
FUNCTIONS = frozenset(
    [*TRIGONOMETRIC, "ln", "log", "lg", "exp"]
    + [f"{name}h" for name in TRIGONOMETRIC]
    + [f"arc{name}" for name in TRIGONOMETRIC]
    + [f"ar{name}h" for name in TRIGONOMETRIC]
)
OF_LISTS = ("gcd", "lcm", "min", "max")
GREEK = frozenset(
    [
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
        *("xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "ell"),
        *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
    ]
)
ACCENTS = frozenset(["vec", "hat", "bar", "tilde", "overline", "overrightarrow", "widehat", "dot"])
OPENING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}

OF_STEPS = {"\\floor": "floor", "\\ceil": "ceil", "\\ceiling": "ceil"}
BEGINS_FACTOR = frozenset(
    [f"\\{name}" for name in FUNCTIONS | GREEK | ACCENTS | set(OF_LISTS)]
    + ["\\frac", "\\sqrt", "\\pi", "\\binom", "\\lfloor", "\\lceil", "\\{", "\\sum", "\\prod", "\\int", "\\infty"]
    + [*OF_STEPS]
)


class Unreadable(Exception):
    """The text is not an expression that the parser reads with certainty."""


class Token(NamedTuple):
    """A number, a command, a letter or another mark, and whether a space follows it."""

    kind: str
    text: str
    spaced: bool


def tokens_of(latex: str) -> list[Token]:
    """The tokens of an expression. Raises Unreadable."""
    tokens: list[Token] = []
    position, latex = 0, latex.strip()
    while position < len(latex):
        match = TOKEN.match(latex, position)
        if match is None:
            raise Unreadable
        kind = next(name for name in ("number", "command", "letter", "mark") if match[name] is not None)
        tokens.append(Token(kind, match[kind], bool(match["space"])))
        position = match.end()
    return tokens
