"""The tokens and tables of the parser in `trees`, the places where it looks ahead, and what a tree contains."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

__all__ = [
    "ACCENTS",
    "BEGINS_FACTOR",
    "END",
    "FUNCTIONS",
    "GREEK",
    "OF_LISTS",
    "OF_STEPS",
    "OPENING",
    "TRIGONOMETRIC",
    "Token",
    "Tree",
    "Unreadable",
    "kinds_of",
    "mixed_number",
    "split_integrand",
    "symbols_of",
    "tokens_of",
]

Tree = tuple[Any, ...]
"""A kind and its parts; `trees` lists the kinds."""

TOKEN = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\(?:[a-zA-Z]+|.))|(?P<letter>[A-Za-z])|(?P<mark>\S)")
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


END = Token("end", "", False)
"""What comes after the last token."""


def tokens_of(latex: str) -> list[Token]:
    """The tokens of an expression."""
    return [
        Token(match.lastgroup or "", match[0], latex[match.end() : match.end() + 1].isspace())
        for match in TOKEN.finditer(latex)
    ]


def mixed_number(found: list[Tree]) -> Tree:
    r"""`2\frac{3}{4}` is 2.75. Anything else with a number before a fraction of numbers is read in two ways."""
    whole, top, bottom = found[0][1], found[1][1][1], found[1][2][1]
    if len(found) > 2 or whole.denominator != 1 or not 0 < top < bottom or top.denominator * bottom.denominator != 1:
        raise Unreadable
    return ("sum", *found)


def split_integrand(tokens: list[Token]) -> tuple[str, int, list[Token]]:
    r"""The variable of an integral, the number of tokens that it takes up, and its integrand.

    The differential is the last factor, `x dx`, or in the numerator of a fraction, `\frac{dz}{z}`; brackets around
    the integrand and the differential count as nothing.
    """
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in OPENING) - (token.text in OPENING.values())
        following, *after = tokens[place + 1 :] or [END]
        if token.text != "d" or following.kind != "letter":
            continue
        if depth == 0:
            return following.text, place + 2, tokens[:place]
        if depth == 1 and tokens[0].text in OPENING and len(after) == 1:
            return following.text, len(tokens), tokens[1:place]
        if depth == 1 and tokens[0].text == "\\frac" and after[:1] and after[0].text == "}":
            numerator = tokens[2:place] or [Token("number", "1", False)]
            return following.text, len(tokens), [*tokens[:2], *numerator, *after]
        break
    raise Unreadable


def symbols_of(tree: Tree) -> frozenset[str]:
    """The names of the free variables in a tree."""
    if tree[0] == "symbol":
        return frozenset([tree[1]])
    found: frozenset[str] = frozenset().union(*(symbols_of(part) for part in tree[1:] if isinstance(part, tuple)))
    dummy = {"series": 2, "integral": 1}.get(tree[0])
    if dummy is not None and (tree[0] == "series" or tree[2] is not None):
        found -= {tree[dummy]}
    return found


def kinds_of(tree: Tree) -> frozenset[str]:
    """The kinds of all nodes in a tree; for calls, their names."""
    name = tree[1] if tree[0] == "call" else tree[0]
    return frozenset([name]).union(*(kinds_of(part) for part in tree[1:] if isinstance(part, tuple)))
