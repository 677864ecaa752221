"""Exercises the code of comparisons once, before the worker forks children that share what it loads."""

from __future__ import annotations

import logging

from treestar.verifier.grading.comparison import answers_equal

__all__ = ["warm_up"]

WARM_UP = (
    ("\\frac{\\sqrt{2}}{2}x + 3y^{2} - 1", "0.5 x - \\sin^{2}(x)\\cos 2x"),
    ("(2,3]", "2 < x \\le 3"),
    ("x = \\pm 2 \\text{ cm}", "\\{2, -2\\}"),
    ("The answer is $2\\pi r (r+h)$.", "e^{-x}(1+\\ln(x))\\sqrt[3]{x^{2}+1}"),
    ("y - 2x = 1", "2y = 4x + 2"),
)
"""Pairs that exercise the common rules, so that a first comparison takes no longer than the others."""
SYMBOLIC_WARM_UP = (
    ("(2,3]\\cup[5,\\infty)", "2 < x \\le 3"),
    ("|x|<3", "(-\\infty,3)\\cup(4,5)"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}+A", "\\int_{0}^{1} \\log_{2} x dx + B"),
    ("f(x_{1})", "\\sum_{k=1}^{n} k! \\cdot \\binom{n}{k} f(k)"),
    ("1/2x", "-\\frac{\\pi}{4}k+f(1)"),
)
"""Pairs that exercise the common constructs of sympy and of its grammar, whose tables grow with use."""


def warm_up(symbolic: bool) -> None:
    """Load and exercise the code that comparisons need, before children are forked.

    Args:
        symbolic: also sympy.
    """
    logging.disable(logging.CRITICAL)
    if symbolic:
        import sympy  # noqa: F401
    for first, second in (*WARM_UP, *(SYMBOLIC_WARM_UP if symbolic else ())):
        answers_equal(first, second)
