"""What a tree contains, and the two places where the parser looks at more than one token or tree at a time."""

from __future__ import annotations

from treestar.verifier.grading.tree_tokens import OPENING, Token, Tree, Unreadable

__all__ = ["kinds_of", "mixed_number", "split_integrand", "symbols_of"]


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


def mixed_number(found: list[Tree]) -> Tree:
    r"""`2\frac{3}{4}` is 2.75. Anything else with a number before a fraction of numbers is read in two ways."""
    whole, top, bottom = found[0][1], found[1][1][1], found[1][2][1]
    if len(found) > 2 or whole.denominator != 1 or not 0 < top < bottom or top.denominator * bottom.denominator != 1:
        raise Unreadable
    return ("sum", *found)


def split_integrand(tokens: list[Token]) -> tuple[tuple[str, int], list[Token]]:
    r"""The variable of an integral, the number of tokens that it takes up, and its integrand.

    The differential is the last factor, `x dx`, or in the numerator of a fraction, `\frac{dz}{z}`; brackets around
    the integrand and the differential count as nothing.
    """
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text in OPENING) - (token.text in OPENING.values())
        following = tokens[place + 1] if place + 1 < len(tokens) else None
        if token.text != "d" or following is None or following.kind != "letter":
            continue
        after = tokens[place + 2 :]
        if depth == 0:
            return (following.text, place + 2), tokens[:place]
        if depth == 1 and tokens[0].text in OPENING and len(after) == 1:
            return (following.text, len(tokens)), tokens[1:place]
        if depth == 1 and tokens[0].text == "\\frac" and after[:1] and after[0].text == "}":
            numerator = tokens[2:place] or [Token("number", "1", False)]
            return (following.text, len(tokens)), [*tokens[:2], *numerator, *after]
        break
    raise Unreadable
