r"""Parses one mathematical expression in canonical LaTeX to a tree of tuples, without sympy.

A tree is a tuple whose first element names its kind:

    ("number", Fraction)  ("symbol", name)  ("pi",)  ("e",)  ("i",)  ("infinity",)
    ("sum", a, b, ...)  ("product", a, b, ...)  ("quotient", a, b)  ("negative", a)  ("power", a, b)
    ("call", name, a, ...)  ("series", "sum" or "prod", variable, low, high, body)
    ("integral", variable, low or None, high or None, body)

`parse` returns None for whatever it does not read with certainty: another parser or nobody then decides. Notations that
people read in two ways (`1/2x`, `\sin x/2`, `f(x)`) are among these.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from treestar.verifier.grading.tree_tokens import (
    ACCENTS,
    BEGINS_FACTOR,
    END,
    FUNCTIONS,
    GREEK,
    OF_LISTS,
    OF_STEPS,
    OPENING,
    TRIGONOMETRIC,
    Token,
    Tree,
    Unreadable,
    mixed_number,
    split_integrand,
    tokens_of,
)

__all__ = ["parse"]

LONGEST = 1500
"""In characters."""
DEEPEST = 60
"""Nested groups; deeper expressions are not parsed."""
LONGEST_NUMBER = 400
"""Digits of one number."""
PRODUCTS = ("\\cdot", "\\times")
FUNCTION_LETTERS = frozenset("fghFGHPQ")
"""Letters that before a bracket usually name a function; other letters before a bracket are factors."""
THOUSANDS_FIRST, THOUSANDS_NEXT = re.compile(r"[1-9]\d{0,2}"), re.compile(r"\d{3}(?:\.\d+)?")
NUMBER_ONE = ("number", Fraction(1))


@lru_cache(maxsize=2048)
def parse(latex: str) -> Tree | None:
    """All of `latex` as a tree; None if it is not read with certainty."""
    if len(latex) > LONGEST:
        return None
    try:
        return Parser(tokens_of(latex)).whole()
    except (Unreadable, RecursionError):
        return None


class Parser:
    """A recursive-descent parser over the tokens of one expression."""

    def __init__(self, tokens: list[Token], dummies: frozenset[str] = frozenset()) -> None:
        """`dummies`: letters that an integral or a series around the expression uses as its variable."""
        self.tokens = tokens
        self.dummies = dummies
        self.place = 0
        self.depth = 0
        self.bars = 0
        """Open absolute values, in which the next bar closes."""
        self.commas_separate = False
        """Whether the parser is between the brackets of `gcd(830,450)`."""

    def whole(self) -> Tree:
        tree = self.remainder()
        if self.token() is not END:
            raise Unreadable
        return tree

    def token(self, ahead: int = 0) -> Token:
        at = self.place + ahead
        return self.tokens[at] if at < len(self.tokens) else END

    def text(self, ahead: int = 0) -> str:
        return self.token(ahead).text

    def take(self) -> Token:
        token = self.token()
        if token is END:
            raise Unreadable
        self.place += 1
        return token

    def next(self, *texts: str) -> str:
        """Take the next token if it is one of `texts`; returns it, or ""."""
        return self.take().text if self.text() in texts else ""

    def expect(self, text: str) -> None:
        if not self.next(text):
            raise Unreadable

    # Sums and products

    def remainder(self) -> Tree:
        r"""An expression, or one term `\bmod` another; where sums are involved, people disagree."""
        tree = self.expression()
        if not self.next("\\bmod"):
            return tree
        if tree[0] == "sum":
            raise Unreadable
        return ("call", "mod", tree, self.signed(self.term))

    def expression(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable
        terms = [self.signed(self.term)]
        while sign := self.next("+", "-"):
            term = self.signed(self.term)
            terms.append(("negative", term) if sign == "-" else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("sum", *terms)

    def signed(self, read: Callable[[], Tree]) -> Tree:
        negative = False
        while sign := self.next("+", "-"):
            negative ^= sign == "-"
        tree = read()
        return ("negative", tree) if negative else tree

    def term(self) -> Tree:
        """A product: factors side by side, or joined by signs of multiplication and division."""
        product = self.factors()
        while operator := self.next(*PRODUCTS, "/", "\\div"):
            if operator in PRODUCTS:
                product = ("product", product, self.signed(self.factors))
                continue
            product = ("quotient", product, self.signed(self.factor))
            if self.begins_factor():
                raise Unreadable  # 1/2x is read in two ways.
        return product

    def factors(self) -> Tree:
        starts_with_number = self.token().kind == "number"
        found = [self.factor()]
        mixed = starts_with_number and found[0][0] == "number" and self.text() == "\\frac"
        while self.begins_factor():
            if self.token().kind == "number" and self.token(-1).kind != "mark":
                raise Unreadable  # x2 and 2 3 are not products for everybody.
            found.append(self.factor())
        if mixed and found[1][0] == "quotient" and found[1][1][0] == found[1][2][0] == "number":
            return mixed_number(found)
        return found[0] if len(found) == 1 else ("product", *found)

    def begins_factor(self) -> bool:
        token = self.token()
        if token.kind == "mark":
            return token.text in "([{" or (token.text == "|" and not self.bars)
        return token.kind in ("number", "letter") or token.text in BEGINS_FACTOR

    def factor(self) -> Tree:
        """A primary expression with its exponents and factorials."""
        base = self.primary()
        while mark := self.next("^", "!"):
            if mark == "^":
                base = self.powered(base)
                continue
            if self.text() == "!" and self.text(1) != "!":
                raise Unreadable  # The double factorial is another function.
            base = ("call", "factorial", base)
            while self.next("!"):
                base = ("call", "factorial", base)
        return base

    def powered(self, base: Tree) -> Tree:
        if [self.text(ahead) for ahead in range(3)] == ["{", "\\circ", "}"]:
            self.place += 3
            return ("quotient", ("product", base, ("pi",)), ("number", Fraction(180)))
        power = ("power", base, self.argument())
        if self.text() == "^":
            raise Unreadable
        return power

    # Primary expressions

    def primary(self) -> Tree:
        token = self.take()
        if token.kind == "number":
            return self.number(token)
        if token.kind == "letter":
            return self.letter(token.text)
        if token.text == "|":
            self.bars += 1
            tree = self.expression()
            self.bars -= 1
            self.expect("|")
            return ("call", "abs", tree)
        if token.text in OPENING:
            return self.group(token.text)
        if token.kind != "command":
            raise Unreadable
        return self.command(token.text)

    def number(self, token: Token) -> Tree:
        digits = token.text
        if self.text() == "_":
            raise Unreadable  # Digits in another base.
        if not self.commas_separate and THOUSANDS_FIRST.fullmatch(digits):
            # Thousands separators: 1,234,567.
            while self.text() == "," and not self.token().spaced and THOUSANDS_NEXT.fullmatch(self.text(1)):
                digits += self.text(1)
                self.place += 2
        if len(digits) > LONGEST_NUMBER:
            raise Unreadable
        return ("number", Fraction(digits))

    def letter(self, text: str) -> Tree:
        name = text + self.attachments()
        if name in ("e", "i") and name not in self.dummies:
            return (name,)
        if self.text() in ("(", "[") and (text in FUNCTION_LETTERS or "'" in name):
            if text not in "fg" or self.text() == "[":
                raise Unreadable
            return ("call", f"function {name}", *self.listed())
        return ("symbol", name)

    def attachments(self) -> str:
        """The subscript and the primes after a letter."""
        attached = ""
        while mark := self.next("'", "_"):
            attached += mark if mark == "'" else f"_{self.raw_argument()}"
        return attached

    def raw_argument(self) -> str:
        """The text of an argument in braces, without spaces."""
        first = self.take().text
        if first != "{":
            return first
        depth, pieces = 1, []
        while depth:
            token = self.take()
            depth += (token.text == "{") - (token.text == "}")
            pieces.append(token.text)
        return "".join(pieces[:-1])

    def argument(self) -> Tree:
        """An argument in braces, or of one token."""
        if self.next("{"):
            return self.group("{")
        token = self.token()
        if token.kind == "mark" or (len(token.text) > 1 and token.kind == "number"):
            raise Unreadable
        return self.primary()

    def group(self, opening: str) -> Tree:
        outer, self.bars, self.commas_separate = (self.bars, self.commas_separate), 0, False
        tree = self.remainder()
        self.bars, self.commas_separate = outer
        self.expect(OPENING[opening])
        step = {"\\lfloor": "floor", "\\lceil": "ceil"}.get(opening)
        return ("call", step, tree) if step is not None else tree

    # Commands

    def command(self, text: str) -> Tree:
        name = text[1:]
        if text == "\\frac":
            return self.fraction()
        if name in FUNCTIONS:
            return self.function(name)
        if name in GREEK:
            return ("symbol", name + self.attachments())
        if name in ACCENTS:
            return ("symbol", f"{name} {self.raw_argument()}{self.attachments()}")
        if text == "\\pi":
            return ("pi",)
        if text == "\\infty":
            return ("infinity",)
        if text == "\\sqrt":
            return self.root()
        if text == "\\binom":
            return ("call", "binom", self.argument(), self.argument())
        if name in OF_LISTS:
            return ("call", name, *self.listed())
        if text in OF_STEPS and self.text() in ("(", "{", "["):
            return ("call", OF_STEPS[text], self.group(self.take().text))
        if text in ("\\sum", "\\prod"):
            return self.series(name)
        if text == "\\int":
            return self.integral()
        raise Unreadable

    def fraction(self) -> Tree:
        if self.text(1) == "d" and "d" in (self.text(4), self.text(3), self.text(5)):
            raise Unreadable  # A derivative.
        return ("quotient", self.argument(), self.argument())

    def root(self) -> Tree:
        if not self.next("["):
            return ("power", self.argument(), ("number", Fraction(1, 2)))
        index = self.group("[")
        return ("call", "root", self.argument(), index)

    def listed(self) -> list[Tree]:
        opening = self.take().text
        if opening == "{" and self.text() == "(":
            found = self.listed()
            self.expect("}")
            return found
        if opening not in ("(", "\\{", "{"):
            raise Unreadable
        outer, self.commas_separate = self.commas_separate, True
        found = [self.expression()]
        while self.next(","):
            found.append(self.expression())
        self.commas_separate = outer
        self.expect(OPENING[opening])
        return found

    def function(self, name: str) -> Tree:
        base: Tree | None = None
        exponent: Tree | None = None
        while mark := self.next("_", "^"):
            if mark == "_" and name == "log" and base is None:
                base = self.argument()
            elif mark == "^" and exponent is None:
                exponent = self.argument()
            else:
                raise Unreadable
        inner = self.function_argument()
        if exponent == ("negative", NUMBER_ONE):
            if name in TRIGONOMETRIC:
                return ("call", f"arc{name}", inner)
            if name.removesuffix("h") in TRIGONOMETRIC:
                return ("call", f"ar{name}", inner)
            raise Unreadable
        call: Tree = ("call", name, inner) if base is None else ("call", name, inner, base)
        return call if exponent is None else ("power", call, exponent)

    def function_argument(self) -> Tree:
        opening = self.text()
        if opening in ("(", "[", "{", "|", "\\{"):
            inner = self.primary()
            if self.text() in ("^", "!"):
                raise Unreadable  # Of sin(x)^2, some take the square first.
            return inner
        if opening[1:] in FUNCTIONS and opening[:1] == "\\":
            return self.primary()
        found = [self.signed(self.factor)]
        while self.begins_factor() and self.text() not in ("(", "[", "|") and self.text()[1:] not in FUNCTIONS:
            if self.token().kind == "number":
                raise Unreadable
            found.append(self.factor())
        if self.text() in ("(", "[", "|", "/", "\\div"):
            raise Unreadable  # sin x(y), sin x/2
        return found[0] if len(found) == 1 else ("product", *found)

    def series(self, name: str) -> Tree:
        self.expect("_")
        self.expect("{")
        variable = self.take()
        if variable.kind != "letter":
            raise Unreadable
        self.expect("=")
        low = self.expression()
        self.expect("}")
        self.expect("^")
        high = self.argument()
        outer, self.dummies = self.dummies, self.dummies | {variable.text}
        body = self.term()
        self.dummies = outer
        return ("series", name, variable.text, low, high, body)

    def integral(self) -> Tree:
        low = high = None
        if self.next("_"):
            low = self.argument()
            self.expect("^")
            high = self.argument()
        variable, size, body = split_integrand(self.tokens[self.place :])
        self.place += size
        inner = Parser(body, self.dummies | {variable}).whole() if body else NUMBER_ONE
        return ("integral", variable, low, high, inner)
