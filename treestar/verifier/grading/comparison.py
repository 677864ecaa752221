"""Compares two answers by their forms; `expressions` compares the scalars in them.

The rules are symmetric by construction: each rule is tried with the two answers in both orders, and a rule accepts only
answers that it can interpret completely. Runs only in the worker process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from treestar.verifier.extraction.phrases import translated_marks
from treestar.verifier.extraction.replies import stated_answer, without_delimiters
from treestar.verifier.extraction.verbal import same_verdict
from treestar.verifier.grading.expressions import (
    constant_ratio,
    expressions_equal,
    roundings_differ,
    states_rounding,
    written_number,
)
from treestar.verifier.grading.form_reading import TRIGONOMETRY, read_form
from treestar.verifier.grading.forms import (
    Based,
    Clock,
    Form,
    Group,
    Listing,
    Ratio,
    Relation,
    Scalar,
    SetOperation,
    Table,
    Words,
)
from treestar.verifier.grading.intervals import same_set
from treestar.verifier.grading.tree_tokens import symbols_of
from treestar.verifier.grading.trees import parse
from treestar.verifier.notation.canonical import canonical, squeeze, words_of
from treestar.verifier.notation.labels import is_function_label, is_label, read_choice
from treestar.verifier.notation.spoken_forms import declared_integer, with_letter
from treestar.verifier.notation.units import known_unit, split_glued_unit, split_letter_unit

__all__ = ["answers_equal"]

LONGEST_ANSWER = 2000
"""Maximum characters of an extracted answer; longer ones are equal only if they are identical."""


LONGEST_REWRITTEN = 300
DEEPEST_ANSWER = 40
"""Maximum nesting of brackets; deeper answers are equal only if they are identical."""

COMMANDS = re.compile(
    r"\\\\|\\(?:begin|end)\{[a-z]+\}|\\text\{[^{}]*\}|\\(?!alpha|beta|gamma|delta|theta|lambda|mu|sigma|phi|omega)[a-zA-Z]+"
)
RADIANS = ("rad", "radian")
UNKNOWN = re.compile(r"[a-df-hj-zA-Z]|\\")
"""A letter other than e and i, or a Greek one."""


def answers_equal(first: str, second: str) -> bool:
    """Whether two answers are equivalent; symmetric. Of a text, the answer that it states is compared."""
    one, other = stated_answer(first), stated_answer(second)
    if is_beyond_reading(one.answer) or is_beyond_reading(other.answer):
        return one.answer == other.answer
    one_answer, other_answer = canonical(one.answer), canonical(other.answer)
    one_text, other_text = whole_text(first), whole_text(second)
    wholes = [same_writing(one_text, writing) for writing in (other_text, other_answer, other.answer)]
    if any(wholes) or same_writing(one_answer, other_text) or same_writing(one.answer, other_text):
        return True
    one_answer, other_answer = without_declarations(one_answer, other_answer)
    # If neither text states which formula is its answer, comparing their last formulas proves nothing.
    return not (one.guessed and other.guessed) and same_answer(one_answer, other_answer)


def without_declarations(one: str, other: str) -> tuple[str, str]:
    r"""Two answers without the `k \in \mathbb{Z}` at their ends; if both declare a letter, with the same one."""
    (one, letter), (other, wanted) = declared_integer(one), declared_integer(other)
    return (with_letter(one, letter, wanted) if letter and wanted and letter != wanted else one), other


def is_beyond_reading(answer: str) -> bool:
    """Whether an answer is longer or more deeply nested than any realistic answer."""
    depths = accumulate((character in "([{") - (character in ")]}") for character in answer)
    return len(answer) > LONGEST_ANSWER or max(depths, default=0) > DEEPEST_ANSWER


def whole_text(text: str) -> str:
    """All of `text` for a comparison of the writing; long ones, which are rarely anything but prose, only trimmed."""
    if len(text) > LONGEST_ANSWER:
        return ""
    bare = without_delimiters(translated_marks(text))
    return canonical(bare) if len(text) <= LONGEST_REWRITTEN else bare


def same_answer(one: str, other: str) -> bool:
    if not one or not other:
        return False
    if same_writing(one, other) or same_verdict(one, other):
        return True
    if roundings_differ(one, other):
        return False
    if states_rounding(one, other) or states_rounding(other, one):
        return True
    one_choice, other_choice = read_choice(one), read_choice(other)
    if one_choice is not None and other_choice is not None and not (one_choice.rest and other_choice.rest):
        return one_choice.letter == other_choice.letter
    for choice, text in ((one_choice, other), (other_choice, one)):
        if choice is not None and choice.rest and (one_choice is None or other_choice is None):
            return same_answer(choice.rest, text)
    return same_form(read_form(one), read_form(other))


def same_writing(one: str, other: str) -> bool:
    return bool(one) and squeeze(one).replace("\\$", "$") == squeeze(other).replace("\\$", "$")


def same_form(one: Form, other: Form) -> bool:
    """Whether two forms are equivalent; symmetric."""
    if one == other:
        return True
    rules = (same_relation, same_scalar, same_listing, same_group, same_table, same_number_form, same_words)
    return any(rule(one, other) or rule(other, one) for rule in rules) or same_set(one, other)


def same_scalar(one: Form, other: Form) -> bool:
    if not isinstance(one, Scalar) or not isinstance(other, Scalar):
        return False
    if one.unit and not other.unit:
        value, letter = split_letter_unit(other.latex, one.unit)
        if letter:
            return same_scalar(one, Scalar(value, letter))
    if one.unit and other.unit and one.unit != other.unit and {one.unit, other.unit} != {"gbp", "pound"}:
        measured, wanted = known_unit(one.unit), known_unit(other.unit)
        if measured is not None and wanted is not None:
            if measured.dimension != wanted.dimension:
                return False
            factor = measured.factor / wanted.factor
            scaled = f"\\frac{{{factor.numerator}}}{{{factor.denominator}}}\\cdot({one.latex})"
            return expressions_equal(scaled, other.latex)
    if one.percent and not other.percent and expressions_equal(f"\\frac{{{one.latex}}}{{100}}", other.latex):
        return True
    if other.degrees and one.unit in RADIANS:
        return same_scalar(other, one)
    if one.degrees and not other.degrees:
        in_radians = expressions_equal(f"\\frac{{\\pi\\cdot({one.latex})}}{{180}}", other.latex)
        if in_radians or other.unit in RADIANS:
            return in_radians
    if "^{\\circ}" in one.latex and "^{\\circ}" not in other.latex and not TRIGONOMETRY.search(one.latex):
        return expressions_equal(one.latex.replace("^{\\circ}", ""), other.latex)
    glued = None if one.unit or other.unit else split_glued_unit(one.latex)
    if glued is not None and written_number(other.latex) is not None:
        return expressions_equal(glued, other.latex)
    return expressions_equal(one.latex, other.latex)


def same_relation(one: Form, other: Form) -> bool:
    """Compares `x = 5` and `5`; two equations; two inequalities that are not intervals."""
    if not isinstance(one, Relation):
        return False
    if isinstance(other, Relation):
        if one.is_equation and other.is_equation:
            return same_equations(one, other)
        alike = one.operators == other.operators and all(map(expressions_equal, one.operands, other.operands))
        return alike or same_inequalities(one, other)
    if not one.is_equation:
        return False
    label, value = label_and_value(one)
    return (is_label(label, value) or is_calculation(one)) and same_form(read_form(value), other)


def is_calculation(equation: Relation) -> bool:
    """Whether an equation computes its last side: `\\binom{5}{2} = 10`. It has no unknowns, and it is not `3 = 2`."""
    *steps, value = equation.operands
    if set(equation.operators) != {"="} or not all(is_constant(without_unit(step)) for step in steps):
        return False
    numbers = [step for step in steps if written_number(without_unit(step)) is not None]
    return all(same_form(read_form(number), read_form(value)) for number in numbers)


def without_unit(latex: str) -> str:
    form = read_form(latex)
    return form.latex if isinstance(form, Scalar) else latex


def is_constant(latex: str) -> bool:
    """Whether an expression has no variables."""
    tree = parse(latex)
    if tree is not None:
        return not symbols_of(tree)
    return UNKNOWN.search(COMMANDS.sub(" ", latex)) is None


def label_and_value(equation: Relation) -> tuple[str, str]:
    """The name and the value of `x = 5`, `5 = x`, `x = 2 + 3 = 5`."""
    *names, value = equation.operands
    if len(names) == 1 and not is_label(names[0], value) and is_label(value, names[0]):
        return value, names[0]
    return next((name for name in names if is_label(name, value)), names[0]), value


def same_equations(one: Relation, other: Relation) -> bool:
    one_label, one_value = label_and_value(one)
    other_label, other_value = label_and_value(other)
    labelled = is_label(one_label, one_value) and is_label(other_label, other_value)
    names = {squeeze(one_label), squeeze(other_label)}
    functions = is_function_label(one_label, one_value) and is_function_label(other_label, other_value)
    if labelled and (len(names) == 1 or (functions and "y" in names)):
        return same_form(read_form(one_value), read_form(other_value))
    if len(one.operands) != 2 or len(other.operands) != 2:
        return False
    return constant_ratio(one.operands, other.operands) is not None


def same_inequalities(one: Relation, other: Relation) -> bool:
    one_links, other_links = links(one), links(other)
    if one_links is None or other_links is None or len(one_links) != len(other_links):
        return False
    return all(
        sign == other_sign and (constant_ratio(sides, other_sides) or 0.0) > 0
        for (sides, sign), (other_sides, other_sign) in zip(one_links, other_links, strict=True)
    )


def links(relation: Relation) -> list[tuple[tuple[str, str], str]] | None:
    """Each link of a chain of inequalities as (larger, smaller) and the sign between them, smallest link first."""
    relation = relation.rising
    if not set(relation.operators) <= {"<", "\\le"}:
        return None
    pairs = zip(relation.operands[1:], relation.operands, strict=False)
    return list(zip(pairs, relation.operators, strict=True))


def same_listing(one: Form, other: Form) -> bool:
    if not isinstance(one, Listing):
        return False
    if not isinstance(other, Listing):
        if one.decimal and isinstance(other, Scalar) and expressions_equal(one.decimal, other.latex):
            return True
        return len(one.items) == 1 and not isinstance(other, Group | SetOperation) and same_form(one.items[0], other)
    first, second = shared_label(one.items), shared_label(other.items)
    points = all(isinstance(item, Group) for item in (*first, *second))
    if points or (one.is_set and other.is_set):
        first, second = distinct(first), distinct(second)
    if differently_labelled(first) != differently_labelled(second):
        return pairwise(first, second)
    return same_multiset(first, second)


def shared_label(items: Sequence[Form]) -> list[Form]:
    """The values in a list such as `a = 4, -8, -10`, where the name applies to all of them."""
    first = items[0] if items else None
    if not isinstance(first, Relation) or not first.is_equation:
        return list(items)
    label = squeeze(label_and_value(first)[0])
    values: list[Form] = []
    for item in items:
        if not isinstance(item, Relation):
            values.append(item)
            continue
        item_label, item_value = label_and_value(item)
        if not item.is_equation or squeeze(item_label) != label:
            return list(items)
        values.append(read_form(item_value))
    return values if is_label(label, "1") else list(items)


def differently_labelled(items: Sequence[Form]) -> bool:
    return bool(items) and all(isinstance(item, Relation) and item.is_equation for item in items)


def distinct(items: Sequence[Form]) -> list[Form]:
    kept: list[Form] = []
    for item in items:
        if not any(same_form(item, earlier) for earlier in kept):
            kept.append(item)
    return kept


def pairwise(first: Sequence[Form], second: Sequence[Form]) -> bool:
    return len(first) == len(second) and all(same_form(a, b) for a, b in zip(first, second, strict=True))


def same_multiset(first: Sequence[Form], second: Sequence[Form]) -> bool:
    if len(first) != len(second):
        return False
    left = list(second)
    for item in first:
        place = next((index for index, candidate in enumerate(left) if same_form(item, candidate)), None)
        if place is None:
            return False
        del left[place]
    return True


def same_group(one: Form, other: Form) -> bool:
    if not isinstance(one, Group):
        return False
    brackets = one.opening + one.closing
    if isinstance(other, Group):
        other_brackets = other.opening + other.closing
        no_intervals = {brackets, other_brackets} <= {"()", "[]"} and len(one.items) > 2
        return (brackets == other_brackets or no_intervals) and pairwise(one.items, other.items)
    if not isinstance(other, Listing) or brackets not in ("()", "[]"):
        return False
    if other.is_set:
        return brackets == "[]" and len(one.items) > 2 and same_multiset(distinct(one.items), distinct(other.items))
    in_order = brackets == "()" or differently_labelled(other.items)
    return (pairwise if in_order else same_multiset)(one.items, other.items)


def same_table(one: Form, other: Form) -> bool:
    if not isinstance(one, Table):
        return False
    rows, other_rows = rows_of(one), rows_of(other)
    if other_rows:
        return len(rows) == len(other_rows) and all(map(pairwise, rows, other_rows))
    if isinstance(other, Group) and (len(rows) == 1 or all(len(row) == 1 for row in rows)):
        return pairwise([cell for row in rows for cell in row], other.items)
    if isinstance(other, Scalar):
        matrix = "\\\\".join("&".join(row) for row in one.rows)
        return "matrix" in other.latex and expressions_equal(f"\\begin{{pmatrix}}{matrix}\\end{{pmatrix}}", other.latex)
    return False


def rows_of(form: Form) -> list[Sequence[Form]]:
    """The rows of a table or a nested list, `[[1, 2], [3, 4]]`, as programs print matrices; none for other forms."""
    if isinstance(form, Table):
        return [[read_form(cell) for cell in row] for row in form.rows]
    if not isinstance(form, Group) or form.opening != "[":
        return []
    rows = [item.items for item in form.items if isinstance(item, Group) and item.opening == "["]
    return [*rows] if len(rows) == len(form.items) else []


def same_number_form(one: Form, other: Form) -> bool:
    """Compares ratios, times of day, and numbers in another base."""
    if isinstance(one, Clock) and isinstance(other, Clock):
        bare = other if one.says_half else one
        if one.says_half == other.says_half or bare.minutes >= 13 * 60:
            return one.minutes == other.minutes
        return one.minutes % 720 == other.minutes % 720
    if isinstance(one, Clock) and isinstance(other, Scalar):
        # Without context, `1:20` could be a ratio; it is one only if the other answer is the fraction of these numbers.
        hours, minutes = divmod(one.minutes, 60)
        return squeeze(other.latex) in (f"{hours}/{minutes}", f"\\frac{{{hours}}}{{{minutes}}}")
    if isinstance(one, Ratio) and isinstance(other, Ratio):
        return len(one.parts) == len(other.parts) and all(map(expressions_equal, one.parts, other.parts))
    if isinstance(one, Ratio) and isinstance(other, Scalar) and len(one.parts) == 2:
        return expressions_equal(f"\\frac{{{one.parts[0]}}}{{{one.parts[1]}}}", other.latex)
    if isinstance(one, Based) and one.base == 10 and isinstance(other, Scalar):
        return expressions_equal(one.digits, other.latex)
    if isinstance(one, Based) and isinstance(other, Based):
        if one.base == other.base:
            return one.digits.lstrip("0") == other.digits.lstrip("0")
        return 10 in (one.base, other.base) and int(one.digits, one.base) == int(other.digits, other.base)
    return False


def same_words(one: Form, other: Form) -> bool:
    """Compares verbal answers and unparsed math: equal if the letters and digits are the same."""
    if not isinstance(one, Words):
        return False
    text = other.text if isinstance(other, Words) else other.latex if isinstance(other, Scalar) else None
    if text is None or written_number(text) is not None:
        return False
    return bool(words_of(one.text)) and words_of(one.text) == words_of(text)
