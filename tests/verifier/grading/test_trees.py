"""The parser and the evaluator of expressions: exact values, refusals of what is read in two ways, bounded work."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.verifier.grading.tree_comparison import constant_value, trees_equal
from treestar.verifier.grading.tree_tokens import Tree, symbols_of
from treestar.verifier.grading.trees import parse
from treestar.verifier.grading.values import UnknownValue
from treestar.verifier.notation.canonical import canonical


def read(latex: str) -> Tree:
    tree = parse(canonical(latex))
    assert tree is not None, latex
    return tree


def value(latex: str) -> Fraction | None:
    return constant_value(read(latex))


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        ("2+3\\cdot 4", Fraction(14)),
        ("-2^2", Fraction(-4)),
        ("2\\frac{3}{4}", Fraction(11, 4)),
        ("\\frac12 \\div \\frac13", Fraction(3, 2)),
        ("|3-5|", Fraction(2)),
        ("\\sqrt{16}", Fraction(4)),
        ("\\sqrt[3]{-8}", Fraction(-2)),
        ("4^{1/2}", Fraction(2)),
        ("\\binom{5}{2}", Fraction(10)),
        ("5!", Fraction(120)),
        ("\\lfloor -1.5 \\rfloor", Fraction(-2)),
        ("\\lceil 1.2 \\rceil", Fraction(2)),
        ("17 \\bmod 5", Fraction(2)),
        ("\\gcd(830,450)", Fraction(10)),
        ("\\operatorname{lcm}(6,321,429)", Fraction(91806)),
        ("\\min(9,876,543)", Fraction(9)),
        ("\\sum_{k=1}^{4} k^2", Fraction(30)),
        ("\\prod^{4}_{i=1} i", Fraction(24)),
        ("1,234,567", Fraction(1234567)),
        ("2(3)(4)", Fraction(24)),
        ("(x)", None),
    ],
)
def test_constants_have_their_exact_value(latex: str, expected: Fraction | None) -> None:
    if expected is None:
        assert symbols_of(read(latex)) == {"x"}
    else:
        assert value(latex) == expected


@pytest.mark.parametrize(
    "latex", ["\\sin 30^\\circ", "\\log_{4} 2", "\\arctan(1) \\cdot \\frac{2}{\\pi}", "e^{-\\ln 2}"]
)
def test_constants_that_are_not_rational_are_close(latex: str) -> None:
    found = value(latex)
    assert found is not None
    assert math.isclose(found, 0.5, rel_tol=1e-15)


@pytest.mark.parametrize(
    "latex",
    [
        "1/2x", "\\sin x/2", "\\sin x(y)", "\\sin(x)^2", "x2", "2 3", "n!!", "h(x)", "P(1+r)", "\\frac{dy}{dx}",
        "x^2^3", "a + b \\bmod c",
        "4\\frac{3}{2}", "\\int x", "(1+2", "1+", "\\text{cm}", "1,2",
    ],
)  # fmt: skip
def test_what_people_read_in_two_ways_is_left_to_others(latex: str) -> None:
    assert parse(canonical(latex)) is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("(x+1)^2", "x^2+2x+1", True),
        ("x^{2}_{1}", "x_1^2", True),
        ("\\sin(2x)", "2\\sin x\\cos x", True),
        ("\\sqrt{x^2}", "x", False),
        ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}", True),
        ("\\sum_{k=1}^{n} k", "\\frac{n(n-1)}{2}", False),
        ("\\int \\frac{3 dz}{z}", "\\int \\frac{3}{z} dz", True),
        ("\\sqrt{10^{40}+1}", "10^{20}", False),
        ("e^{-1000}", "0", False),
        ("\\sin(\\pi)", "0", True),
        ("2^{2^{-1000}}", "1", False),
        ("9^{9^{9^{9}}}", "1", False),
        ("\\lfloor x \\rfloor", "x", False),
        ("x!!!", "((x!)!)!", True),
        ("\\infty", "-\\infty", False),
        ("f(2x)+1", "1+f(x+x)", True),
        ("f(x)", "f(y)", False),
        ("f(x)", "g(x)", False),
        ("f'(x)", "f(x)", False),
        ("2f(x)", "f(2x)", False),
    ],
)
def test_equal_values_at_every_point_decide(one: str, other: str, equal: bool) -> None:
    assert trees_equal(read(one), read(other), decimals=False) is equal


@pytest.mark.parametrize(("one", "other"), [("\\int_0^1 x dx", "\\frac12"), ("\\gcd(a,b)", "\\gcd(b,a)")])
def test_values_that_do_not_tell_are_no_verdict(one: str, other: str) -> None:
    assert trees_equal(read(one), read(other), decimals=False) is None


def test_an_integral_is_no_constant() -> None:
    with pytest.raises(UnknownValue):
        value("\\int_0^1 x dx")


leaves = st.one_of(st.integers(-20, 20).map(lambda n: (f"({n})", Fraction(n))))


def combined(children: st.SearchStrategy[tuple[str, Fraction]]) -> st.SearchStrategy[tuple[str, Fraction]]:
    def join(operator: str, a: tuple[str, Fraction], b: tuple[str, Fraction]) -> tuple[str, Fraction]:
        (left, x), (right, y) = a, b
        if operator == "frac":
            return (f"\\frac{{{left}}}{{{right}}}", x / y) if y else (left, x)
        if operator == "^":
            return f"({left})^{{2}}", x**2
        results = {"+": x + y, "-": x - y, "\\cdot ": x * y}
        return f"({left}{operator}{right})", results[operator]

    return st.builds(join, st.sampled_from(["+", "-", "\\cdot ", "frac", "^"]), children, children)


@settings(max_examples=200)
@given(st.recursive(leaves, combined, max_leaves=12))
def test_rational_expressions_are_computed_exactly(expression: tuple[str, Fraction]) -> None:
    latex, expected = expression
    assert value(latex) == expected


@settings(max_examples=200)
@given(st.text(alphabet="xyz123+-*/^_{}()[]|\\ frac,.!", max_size=30))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    tree = parse(text)
    assert tree is None or isinstance(tree, tuple)
