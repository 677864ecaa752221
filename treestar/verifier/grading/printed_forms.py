"""Rewrites answers printed by Python and sympy to LaTeX: `Fraction(1, 2)`, `Interval.open(0, oo)`, `{x: 1}`."""

from __future__ import annotations

import re

from treestar.verifier.grading.rewriting import rule

__all__ = ["PRINTED_RULES"]

ARGUMENT = r"((?:[^(),\[\]]|\([^()]*\))+)"
"""One argument of a call, with at most one call inside it."""
SOLUTION = r"[A-Za-z]\w*: [^{}:<>=,]*"
NAME = r"(?<![A-Za-z\\])"


def interval(match: re.Match[str]) -> str:
    kind, low, high = match[1], match[2].strip(), match[3].strip()
    opening = "(" if kind in ("open", "Lopen") or low == "-oo" else "["
    closing = ")" if kind in ("open", "Ropen") or high == "oo" else "]"
    return f"{opening}{low},{high}{closing}"


def union(match: re.Match[str]) -> str:
    return re.sub(r"(?<=[\])}])\s*,", r" \\cup", match[1])


def equations(match: re.Match[str]) -> str:
    return match[1].replace(":", "=")


def unquoted(match: re.Match[str]) -> str:
    return match[1] or match[2] or ""


PRINTED_RULES = (
    rule(rf"{NAME}(?:Fraction|Rational)\({ARGUMENT},{ARGUMENT}\)", r"\\frac{\1}{\2}", "exact fractions"),
    rule(rf"{NAME}(?:Mutable|Immutable)?(?:Dense)?(?:Matrix|array)\((\[.*\])\)", r"\1", "nested lists of numbers"),
    rule(rf"{NAME}Interval(?:\.([A-Za-z]*open))?\({ARGUMENT},{ARGUMENT}\)", interval, "open at infinity as always"),
    rule(rf"{NAME}Union\((.*)\)$", union, "sets of sympy"),
    rule(rf"{NAME}FiniteSet\(([^()]*)\)", r"\\{\1\\}", "sets of sympy"),
    rule(rf"{NAME}(?:EmptySet(?:\(\))?|set\(\))", r"\\emptyset ", "the empty set"),
    rule(rf"{NAME}Eq\({ARGUMENT},{ARGUMENT}\)", r"\1=\2", "equations of sympy"),
    rule(rf"(?<!\\)\{{({SOLUTION}(?:, {SOLUTION})*)\}}", equations, "solutions of sympy"),
    rule(rf"{NAME}binomial\({ARGUMENT},{ARGUMENT}\)", r"\\binom{\1}{\2}", "functions of sympy"),
    rule(rf"{NAME}factorial\({ARGUMENT}\)", r"(\1)!", "functions of sympy"),
    rule(rf"{NAME}a(?=(?:sin|cos|tan)\()", "arc", "functions of sympy"),
    rule(r"(?<=\d)j(?![A-Za-z])", "i", "Python's imaginary unit"),
    rule(r",\s*\)", ")", "a tuple of one"),
    rule(r"^'([^']*)'$|^\"([^\"]*)\"$", unquoted, "quotes around a string"),
)
