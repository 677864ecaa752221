"""Sets of real numbers written as intervals, unions, or inequalities in one unknown, compared as sets."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce
from typing import Any

from treestar.verifier.grading.expressions import expressions_equal
from treestar.verifier.grading.form_reading import read_form
from treestar.verifier.grading.forms import Form, Group, Listing, Relation, Scalar, SetOperation
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
from treestar.verifier.grading.symbolic import parse_expression, require_sympy
from treestar.verifier.grading.tree_comparison import constant_value
from treestar.verifier.grading.tree_structure import symbols_of
from treestar.verifier.grading.trees import parse
from treestar.verifier.grading.values import UnknownValue
from treestar.verifier.notation.canonical import squeeze
from treestar.verifier.notation.labels import is_label

__all__ = ["same_set"]

CLOSE = 1e-9
"""Absolute and relative tolerance between two finite ends of intervals."""

LESS, MORE = ("<", "\\le"), (">", "\\ge")
FLIPPED = {">": "<", "\\ge": "\\le", "<": ">", "\\le": "\\ge"}
NAMED_SETS = {"\\mathbb{R}": "Reals", "\\mathbb{Z}": "Integers", "\\mathbb{N}": "Naturals", "\\mathbb{Q}": "Rationals"}


def same_set(one: Form, other: Form) -> bool:
    """Whether two forms are the same set, if at least one is written as a relation or a set operation."""
    if not any(is_written_as_set(form) for form in (one, other)):
        return False
    one_bounds, other_bounds = bounds_of(one), bounds_of(other)
    if one_bounds is not None and other_bounds is not None:
        return same_bounds(one_bounds, other_bounds) and same_unknown(one, other)
    if not same_unknown(one, other) or any(map(has_equation, (one, other))):
        return False
    pieces, other_pieces = pieces_of(one), pieces_of(other)
    if pieces is not None and other_pieces is not None:
        return same_sets(pieces, other_pieces)
    require_sympy()
    first, second = set_of(one), set_of(other)
    return first is not None and second is not None and same_sympy_sets(first, second)


def is_written_as_set(form: Form) -> bool:
    if isinstance(form, Scalar):
        return squeeze(form.latex) in NAMED_SETS
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
    operands, operators = form.operands, form.operators
    if operators[0] == "\\in" and len(operators) == 1:
        return bounds_of(read_form(operands[1]))
    if set(operators) <= set(MORE):
        operands, operators = operands[::-1], tuple(FLIPPED[operator] for operator in operators[::-1])
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


def same_bounds(one: Bounds, other: Bounds) -> bool:
    return one[2:] == other[2:] and expressions_equal(one[0], other[0]) and expressions_equal(one[1], other[1])


def same_unknown(one: Form, other: Form) -> bool:
    """Whether the two forms have the same unknown, or at least one does not name any."""
    first, second = unknowns(one), unknowns(other)
    return not first or not second or first == second


def unknowns(form: Form) -> set[str]:
    if isinstance(form, Listing):
        return set().union(*(unknowns(item) for item in form.items)) if form.items else set()
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


def pieces_of(form: Form) -> RealSet | None:
    """`form` as a union of intervals between numbers; None for any other set."""
    if isinstance(form, Scalar):
        return REALS if squeeze(form.latex) == "\\mathbb{R}" else None
    bounds = bounds_of(form)
    if bounds is not None:
        low, high = end_of(bounds[0]), end_of(bounds[1])
        return None if low is None or high is None else interval(low, high, bounds[2], bounds[3]) or None
    if isinstance(form, Relation):
        return pieces_of_relation(form)
    if isinstance(form, Listing):
        return pieces_of_listing(form)
    if isinstance(form, SetOperation):
        return pieces_of_operation(form)
    return None


def pieces_of_relation(relation: Relation) -> RealSet | None:
    r"""The solutions of `x \in A`, `x \ne a`, `|x| < a`."""
    if relation.operators == ("\\in",):
        return pieces_of(read_form(relation.operands[1]))
    sides = zip(relation.operands, relation.operators, relation.operands[1:], strict=False)
    links = [pieces_of_link(left, right, operator) for left, operator, right in sides]
    known = [link for link in links if link is not None]
    return reduce(intersection, known) if known and len(known) == len(links) else None


def pieces_of_link(left: str, right: str, operator: str) -> RealSet | None:
    r"""The solutions of `x \ne a`, `|x| < a`, `a < |x|`."""
    if operator in FLIPPED and end_of(left) is not None:
        left, right, operator = right, left, FLIPPED[operator]
    end = end_of(right)
    if not isinstance(end, Fraction):
        return None
    if operator == "\\ne":
        return complement(point(end)) if is_name(left) else None
    if operator not in FLIPPED or not (left.startswith("|") and left.endswith("|") and is_name(left[1:-1].strip())):
        return None
    strict = operator in ("<", ">")
    if operator in LESS:
        return interval(-end, end, strict, strict)
    return complement(interval(-end, end, not strict, not strict))


def pieces_of_listing(form: Listing) -> RealSet | None:
    if not relations(form):
        ends = [end_of(item.latex) if isinstance(item, Scalar) else None for item in form.items]
        points = [point(end) for end in ends if isinstance(end, Fraction)]
        return union(points) if len(points) == len(ends) else None
    sets = [pieces_of(item) for item in form.items]
    known = [each for each in sets if each is not None]
    if len(known) < len(sets):
        return None
    removing = [isinstance(item, Relation) and item.operators == ("\\ne",) for item in form.items]
    kept = [each for each, removes in zip(known, removing, strict=True) if not removes]
    result = union(kept) if kept else REALS
    if form.all_hold and kept:
        # "x < -1 and x > 1" names two ranges: read as a condition, it would hold nowhere.
        result = reduce(intersection, kept) or result
    for each, removes in zip(known, removing, strict=True):
        if removes:
            result = intersection(result, each)
    return result


def pieces_of_operation(form: SetOperation) -> RealSet | None:
    sets = [pieces_of(part) for part in form.parts]
    known = [each for each in sets if each is not None]
    if len(known) < len(sets):
        return None
    result = known[0]
    for operator, each in zip(form.operators, known[1:], strict=True):
        if operator == "\\cup":
            result = union([result, each])
        else:
            result = intersection(result, each if operator == "\\cap" else complement(each))
    return result


def set_of(form: Form) -> Any | None:
    """`form` as a sympy set of real numbers, or None."""
    import sympy

    if isinstance(form, Scalar):
        name = NAMED_SETS.get(squeeze(form.latex))
        return getattr(sympy.S, name) if name else None
    if isinstance(form, Group):
        bounds = bounds_of(form)
        ends = [parse_expression(end) for end in bounds[:2]] if bounds is not None else [None]
        if bounds is None or any(end is None or not end.is_extended_real for end in ends):
            return None
        interval = sympy.Interval(ends[0], ends[1], bounds[2], bounds[3])
        return None if interval.is_empty else interval
    if isinstance(form, Listing):
        return listed_set(form)
    if isinstance(form, SetOperation):
        return combined_set(form)
    if isinstance(form, Relation):
        return solution_set(form)
    return None


def listed_set(form: Listing) -> Any | None:
    """A finite set, or relations joined by "and" or "or": a union, from which `\\ne` removes points."""
    import sympy

    if not relations(form):
        values = [parse_expression(item.latex) if isinstance(item, Scalar) else None for item in form.items]
        return sympy.FiniteSet(*values) if form.is_set and all(value is not None for value in values) else None
    kept: list[Any] = []
    removed: list[Any] = []
    for item in form.items:
        assert isinstance(item, Relation)
        solutions = solution_set(item)
        if solutions is None:
            return None
        (removed if item.operators == ("\\ne",) else kept).append(solutions)
    union = sympy.Union(*kept) if kept else sympy.S.Reals
    together = sympy.Intersection(*kept) if form.all_hold and kept else union
    # "x < -1 and x > 1" names two ranges: read as a condition, it would hold nowhere.
    return sympy.Intersection(union if together.is_empty else together, *removed)


def combined_set(form: SetOperation) -> Any | None:
    import sympy

    sets = [set_of(part) for part in form.parts]
    if any(each is None for each in sets):
        return None
    result = sets[0]
    for operator, each in zip(form.operators, sets[1:], strict=True):
        combine = {"\\cup": sympy.Union, "\\cap": sympy.Intersection, "\\setminus": sympy.Complement}[operator]
        result = combine(result, each)
    return result


def solution_set(relation: Relation) -> Any | None:
    """The real solutions of a chain of (in)equalities in one unknown."""
    import sympy

    if relation.operators == ("\\in",):
        return set_of(read_form(relation.operands[1]))
    bounds = bounds_of(relation)
    if bounds is not None:
        ends = [parse_expression(end) for end in bounds[:2]]
        if all(end is not None and end.is_extended_real for end in ends):
            return sympy.Interval(ends[0], ends[1], bounds[2], bounds[3])
    comparisons = {"<": sympy.Lt, "\\le": sympy.Le, ">": sympy.Gt, "\\ge": sympy.Ge, "\\ne": sympy.Ne}
    if not set(relation.operators) <= set(comparisons):
        return None
    unknown = sympy.Symbol("unknown", real=True)
    operands = [parse_expression("x" if is_name(operand) else operand) for operand in relation.operands]
    if any(operand is None for operand in operands):
        return None
    symbols = set().union(*(operand.free_symbols for operand in operands if operand is not None))
    if len(symbols) != 1:
        return None
    symbol = symbols.pop()
    sides = [operand.subs(symbol, unknown) for operand in operands if operand is not None]
    links = zip(sides, relation.operators, sides[1:], strict=False)
    return conjunction([comparisons[operator](left, right) for left, operator, right in links])


def conjunction(conditions: list[Any]) -> Any | None:
    """The set where all conditions hold; None if sympy cannot decide."""
    import sympy

    sets = []
    for condition in conditions:
        if condition in (True, False):
            sets.append(sympy.S.Reals if condition else sympy.S.EmptySet)
            continue
        try:
            sets.append(condition.as_set())
        except (NotImplementedError, AttributeError, TypeError, ValueError):
            return None
    return sympy.Intersection(*sets)


def same_sympy_sets(one: Any, other: Any) -> bool:
    if one == other:
        return True
    difference = one.symmetric_difference(other)
    if difference.is_empty:
        return True
    return same_pieces(one, other)


def same_pieces(one: Any, other: Any) -> bool:
    """Whether two sets are unions of intervals whose ends are equal within the tolerance."""
    import sympy

    first, second = (list(each.args) if isinstance(each, sympy.Union) else [each] for each in (one, other))
    if len(first) != len(second) or not all(isinstance(piece, sympy.Interval) for piece in (*first, *second)):
        return False
    first, second = (sorted(pieces, key=lambda piece: float(piece.start)) for pieces in (first, second))
    return all(
        (a.left_open, a.right_open) == (b.left_open, b.right_open) and close(a.start, b.start) and close(a.end, b.end)
        for a, b in zip(first, second, strict=True)
    )


def close(one: Any, other: Any) -> bool:
    if one == other:
        return True
    return bool(one.is_finite and other.is_finite) and math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
