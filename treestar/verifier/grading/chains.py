r"""Reads what a calculation in several steps comes to: `12` of `a + b = 5 + 7 = 12` or of `2x = 24 \implies x = 12`."""

from __future__ import annotations

import re

__all__ = ["chain_value"]

LONGEST_CHAIN = 4000
"""In characters."""
LAYOUT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|gather|gathered|split|eqnarray)\*?\}")
LINE_BREAK = re.compile(r"\\\\(?:\s*\[[^\]]*\])?")
ARROW = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![a-zA-Z])|⇒|⟹|∴")
NAMED_VALUE = re.compile(r"\s*(?:[a-zA-Z]|\\[a-z]+)(?:_\w|_\{\w+\})?\s*=[^=]*")
OTHER_RELATION = re.compile(r"[<>≤≥≠≈]|\\(?:[lg]eq?|neq?|[lg]t|approx|equiv|text|in|to)(?![a-zA-Z])|,\s")


def chain_value(formula: str) -> str:
    """What a calculation of several lines, implications or equals signs comes to; else `formula` itself.

    A single equation can be an answer, such as that of a line, and lines that give a value to one letter each are one
    answer together.
    """
    if "=" not in formula or len(formula) > LONGEST_CHAIN:
        return formula
    lines = groups_of(formula)
    if len(lines) > 1 and all(NAMED_VALUE.fullmatch(line) for line in lines):
        return formula
    last = ARROW.split(lines[-1])[-1].strip(" .,;") if lines else formula
    if "=" not in last:
        return formula
    sides = sides_of(last)
    if (
        len(sides) > 2
        and OTHER_RELATION.search(last) is None
        and not all(side.strip().isalpha() for side in sides[:-1])
    ):
        return sides[-1].strip()
    return last if len(lines) > 1 or ARROW.search(formula) else formula


def groups_of(formula: str) -> list[str]:
    """The lines of a layout, each with those after it that begin with an equals sign; else the formula itself."""
    if LAYOUT.search(formula) is None:
        return [formula]
    groups: list[str] = []
    for line in LINE_BREAK.split(LAYOUT.sub("", formula)):
        plain = line.replace("&", " ").strip()
        if groups and plain.startswith("="):
            groups[-1] += f" {plain}"
        elif plain:
            groups.append(plain)
    return groups


def sides_of(chain: str) -> list[str]:
    """What stands between the equals signs outside braces."""
    sides, depth, begun = [], 0, 0
    for place, character in enumerate(chain):
        depth += (character == "{") - (character == "}")
        if character == "=" and depth == 0:
            sides.append(chain[begun:place])
            begun = place + 1
    return [*sides, chain[begun:]]
