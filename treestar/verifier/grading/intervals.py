"""Sets of real numbers written as intervals, unions, or inequalities in one unknown, compared as sets."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce
from typing import Any

from treestar.verifier.grading.expressions import expressions_equal
from treestar.verifier.grading.form_reading import read_form
from treestar.verifier.grading.forms import FLIPPED, Form, Group, Listing, Relation, Scalar, SetOperation
from treestar.verifier.grading.real_sets import (
    REALS,
    End,
    RealSet,
    complement,
    intersection,
    interval,
    point,
    same_sets,
    union,
)
from treestar.verifier.grading.symbolic import decimal_value, parse_expression, require_sympy
from treestar.verifier.grading.tree_comparison import constant_value
from treestar.verifier.grading.tree_tokens import symbols_of
from treestar.verifier.grading.trees import parse
from treestar.verifier.grading.values import UnknownValue
from treestar.verifier.notation.canonical import squeeze
from treestar.verifier.notation.labels import is_label

__all__ = ["same_set"]

LESS = ("<", "\\le")
MOST_NUMBERS = 1000
"""Distance between the ends of a set whose integers are counted."""
LEAST_NUMBER: dict[str, End] = {"\\mathbb{Z}": -math.inf, "\\mathbb{N}": Fraction(1)}


class NotIntervals(Exception):
    """A form is not a union of intervals between numbers, as far as can be told."""


def same_set(one: Form, other: Form) -> bool:
    """Whether two forms are the same set, if at least one is written as a relation or a set operation."""
    if not any(is_written_as_set(form) for form in (one, other)):
        return False
    one_bounds, other_bounds = bounds_of(one), bounds_of(other)
    if one_bounds is not None and other_bounds is not None:
        same_ends = all(map(expressions_equal, one_bounds[:2], other_bounds[:2]))
        return same_ends and one_bounds[2:] == other_bounds[2:] and same_unknown(one, other)
    if not same_unknown(one, other) or any(map(has_equation, (one, other))):
        return False
    try:
        return same_sets(pieces_of(one), pieces_of(other))
    except NotIntervals:
        return False


def is_written_as_set(form: Form) -> bool:
    if isinstance(form, Scalar):
        return squeeze(form.latex) == "\\mathbb{R}"
    return isinstance(form, Relation | SetOperation) or relations(form)


def has_equation(form: Form) -> bool:
    """Whether a form contains an equation, which is not a set of real numbers."""
    if isinstance(form, Listing):
        return any(map(has_equation, form.items))
    return isinstance(form, Relation) and "=" in form.operators


def relations(form: Form) -> bool:
    return isinstance(form, Listing) and bool(form.items) and all(isinstance(item, Relation) for item in form.items)


Bounds = tuple[str, str, bool, bool]
"""Lower and upper end, and whether each is open."""


def bounds_of(form: Form) -> Bounds | None:
    """The interval in `form`, with its ends as LaTeX; None for anything else."""
    if isinstance(form, Group) and len(form.items) == 2:
        low, high = form.items
        if isinstance(low, Scalar) and isinstance(high, Scalar):
            return low.latex, high.latex, form.opening == "(", form.closing == ")"
        return None
    if not isinstance(form, Relation):
        return None
    if form.operators == ("\\in",):
        return bounds_of(read_form(form.operands[1]))
    operands, operators = form.rising.operands, form.rising.operators
    if not set(operators) <= set(LESS):
        return None
    opens = [operator == "<" for operator in operators]
    if len(operands) == 3 and is_name(operands[1]):
        return operands[0], operands[2], opens[0], opens[1]
    if len(operands) == 2 and is_name(operands[0]) and not is_name(operands[1]):
        return "-\\infty", operands[1], True, opens[0]
    if len(operands) == 2 and is_name(operands[1]) and not is_name(operands[0]):
        return operands[0], "\\infty", opens[0], True
    return None


def is_name(operand: str) -> bool:
    """Whether an operand is the unknown itself; `|x|` is a function of it."""
    return is_label(operand, "1") and not operand.startswith("|")


def same_unknown(one: Form, other: Form) -> bool:
    """Whether the two forms have the same unknown, or at least one does not name any."""
    first, second = unknowns(one), unknowns(other)
    return not first or not second or first == second


def unknowns(form: Form) -> set[str]:
    if isinstance(form, Listing):
        return set().union(*map(unknowns, form.items))
    if not isinstance(form, Relation):
        return set()
    if "\\in" in form.operators:
        return {squeeze(form.operands[0])}
    return {squeeze(operand).strip("|") for operand in form.operands if is_label(operand, "1")}


def end_of(latex: str) -> End | None:
    """The number or infinity that an end of an interval is; None if it has variables or no real value."""
    tree = parse(latex)
    if tree is None or symbols_of(tree):
        return None
    if tree == ("infinity",):
        return math.inf
    if tree == ("negative", ("infinity",)):
        return -math.inf
    try:
        return constant_value(tree)
    except UnknownValue:
        return None


def pieces_of(form: Form) -> RealSet:
    """`form` as a union of intervals between numbers. Raises NotIntervals, like the functions below."""
    if isinstance(form, Relation) and form.operators == ("\\in",):
        return pieces_of(read_form(form.operands[1]))
    if isinstance(form, Scalar) and squeeze(form.latex) == "\\mathbb{R}":
        return REALS
    bounds = bounds_of(form)
    if bounds is not None:
        low, high = end_of(bounds[0]), end_of(bounds[1])
        found = None if low is None or high is None else interval(low, high, bounds[2], bounds[3])
        if found or (found == () and isinstance(form, Relation)):  # `(2,1)` is not an empty interval, but a point
            return found
    if isinstance(form, Relation):
        return pieces_of_relation(form)
    if isinstance(form, Listing):
        return pieces_of_listing(form)
    if isinstance(form, SetOperation):
        return pieces_of_operation(form)
    raise NotIntervals


def pieces_of_relation(relation: Relation) -> RealSet:
    r"""The solutions of `x \ne a`, `|x| < a`, `x^2 < a`."""
    links = zip(relation.operands, relation.operators, relation.operands[1:], strict=False)
    try:
        return reduce(intersection, [pieces_of_link(left, right, operator) for left, operator, right in links])
    except NotIntervals:
        return solved(relation)


def pieces_of_link(left: str, right: str, operator: str) -> RealSet:
    r"""The solutions of `x \ne a`, `|x| < a`, `a < |x|`."""
    if operator in FLIPPED and end_of(left) is not None:
        left, right, operator = right, left, FLIPPED[operator]
    end = end_of(right)
    if not isinstance(end, Fraction):
        raise NotIntervals
    if operator == "\\ne" and is_name(left):
        return complement(point(end))
    if operator not in FLIPPED or not (left.startswith("|") and left.endswith("|") and is_name(left[1:-1].strip())):
        raise NotIntervals
    strict = operator in ("<", ">")
    if operator in LESS:
        return interval(-end, end, strict, strict)
    return complement(interval(-end, end, not strict, not strict))


def pieces_of_listing(form: Listing) -> RealSet:
    if not relations(form):
        ends = [end_of(item.latex) if isinstance(item, Scalar) else None for item in form.items]
        points = [point(end) for end in ends if isinstance(end, Fraction)]
        if len(points) < len(ends):
            raise NotIntervals
        return union(points)
    holes = [pieces_of(item) for item in form.items if excludes(item)]
    kept = [pieces_of(item) for item in form.items if not excludes(item)]
    result = union(kept) if kept else REALS
    if form.all_hold and kept:
        # "x < -1 and x > 1" names two ranges: read as a condition, it would hold nowhere.
        result = reduce(intersection, kept) or result
    return reduce(intersection, holes, result)


def excludes(form: Form) -> bool:
    return isinstance(form, Relation) and form.operators == ("\\ne",)


def pieces_of_operation(form: SetOperation) -> RealSet:
    counted = [squeeze(part.latex) if isinstance(part, Scalar) else "" for part in form.parts]
    if set(form.operators) == {"\\cap"} and not LEAST_NUMBER.keys().isdisjoint(counted):
        others = [pieces_of(part) for part, name in zip(form.parts, counted, strict=True) if name not in LEAST_NUMBER]
        least = max(LEAST_NUMBER.get(name, -math.inf) for name in counted)
        return whole_numbers_in(reduce(intersection, others, interval(least, math.inf, False, True)))
    result, *others = map(pieces_of, form.parts)
    for operator, each in zip(form.operators, others, strict=True):
        if operator == "\\cup":
            result = union([result, each])
        else:
            result = intersection(result, each if operator == "\\cap" else complement(each))
    return result


def whole_numbers_in(one: RealSet) -> RealSet:
    if not one or one[-1].high - one[0].low > MOST_NUMBERS:
        raise NotIntervals
    numbers = range(math.ceil(one[0].low), math.floor(one[-1].high) + 1)
    return intersection(one, union(point(Fraction(number)) for number in numbers))


def solved(relation: Relation) -> RealSet:
    """The real solutions of a chain of inequalities in one unknown, as sympy finds them."""
    require_sympy()
    import sympy

    comparisons = {"<": sympy.Lt, "\\le": sympy.Le, ">": sympy.Gt, "\\ge": sympy.Ge, "\\ne": sympy.Ne}
    operands: list[Any] = [parse_expression(operand) for operand in relation.operands]
    if None in operands or not set(relation.operators) <= set(comparisons):
        raise NotIntervals
    symbols = set().union(*(operand.free_symbols for operand in operands))
    if len(symbols) != 1:
        raise NotIntervals
    symbol, unknown = symbols.pop(), sympy.Symbol("unknown", real=True)
    sides = [operand.subs(symbol, unknown) for operand in operands]
    links = zip(sides, relation.operators, sides[1:], strict=False)
    return reduce(intersection, [solutions_of(comparisons[operator](left, right)) for left, operator, right in links])


def solutions_of(condition: Any) -> RealSet:
    """Where a condition of sympy holds."""
    import sympy

    if condition in (True, False):
        return REALS if condition else ()
    try:
        solutions = condition.as_set()
    except (NotImplementedError, AttributeError, TypeError, ValueError):
        raise NotIntervals from None
    pieces: list[RealSet] = []
    for piece in solutions.args if isinstance(solutions, sympy.Union) else [solutions]:
        if isinstance(piece, sympy.Interval):
            pieces.append(interval(number(piece.start), number(piece.end), piece.left_open, piece.right_open))
        elif isinstance(piece, sympy.FiniteSet):
            pieces += [interval(number(value), number(value), False, False) for value in piece]
        elif not piece.is_empty:
            raise NotIntervals
    return union(pieces)


def number(value: Any) -> End:
    exact = math.copysign(math.inf, value) if value.is_infinite else decimal_value(value)
    if exact is None:
        raise NotIntervals
    return exact
