"""The forms of an answer: number, tuple or interval, list or set, relation, table, words.

`form_reading` parses an answer to a form, and `comparison` decides whether two forms are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "FLIPPED",
    "Based",
    "Clock",
    "Form",
    "Group",
    "Listing",
    "Ratio",
    "Relation",
    "Scalar",
    "SetOperation",
    "Table",
    "Words",
]

FLIPPED = {">": "<", "\\ge": "\\le", "<": ">", "\\le": "\\ge"}
"""The inequality signs, read from right to left."""


@dataclass(frozen=True)
class Scalar:
    """One expression."""

    latex: str
    unit: str = ""
    percent: bool = False
    degrees: bool = False


@dataclass(frozen=True)
class Group:
    """`(a, b)`, `[a, b)`, `<a, b>`: a tuple, a point, or an interval; ordered."""

    opening: str
    closing: str
    items: tuple[Form, ...]


@dataclass(frozen=True)
class Listing:
    """`a, b, c` (no braces), `{a, b, c}` (loose braces) or `\\{a, b, c\\}` (a set)."""

    items: tuple[Form, ...]
    is_set: bool = False
    decimal: str = ""
    """The number with a decimal comma that this may be, with a point: `2.5` for `2,5`."""
    all_hold: bool = False
    """Whether the items are conditions that hold together, `x > 1 and x < 2`, rather than alternatives."""


@dataclass(frozen=True)
class Relation:
    """`a < b \\le c`, `x = 1`: operands and the relations between them."""

    operands: tuple[str, ...]
    operators: tuple[str, ...]

    @property
    def is_equation(self) -> bool:
        """Whether every relation is an equals sign (or membership, which also names a value)."""
        return set(self.operators) == {"="} or self.operators == ("\\in",)

    @property
    def rising(self) -> Relation:
        """`a < x \\le b` for `b \\ge x > a`; any other relation as it is."""
        if not set(self.operators) <= {">", "\\ge"}:
            return self
        return Relation(self.operands[::-1], tuple(FLIPPED[operator] for operator in self.operators[::-1]))


@dataclass(frozen=True)
class SetOperation:
    """`A \\cup B`, `A \\cap B`, `A \\setminus B`, applied from left to right."""

    parts: tuple[Form, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A matrix or a vector."""

    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Ratio:
    """`a : b : c`."""

    parts: tuple[str, ...]


@dataclass(frozen=True)
class Clock:
    """A time of day."""

    minutes: int
    """Minutes since midnight; on a twelve-hour clock if AM or PM is not given."""
    says_half: bool


@dataclass(frozen=True)
class Based:
    """Digits in a stated base, `1010_2`."""

    digits: str
    base: int


@dataclass(frozen=True)
class Words:
    """A verbal answer or unparsed math: equal only if written alike."""

    text: str


Form = Scalar | Group | Listing | Relation | SetOperation | Table | Ratio | Clock | Based | Words
