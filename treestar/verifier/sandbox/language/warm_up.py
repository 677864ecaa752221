"""Makes the libraries ready before the first fork, so that every step finds them loaded, warm and in one state."""

from __future__ import annotations

import random
import sys
import warnings

from treestar.verifier.sandbox.language.hardening import harden_enum, harden_sympy
from treestar.verifier.sandbox.language.modules import prepare_modules

__all__ = ["load_libraries"]


def load_libraries(restricted: bool) -> None:
    """Import and warm up what steps use, with random numbers that are the same in every run.

    `restricted`: take the dangerous powers out of them, too.
    """
    warnings.simplefilter("ignore")
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # digit sums of large powers are ordinary questions; the deadline bounds them
    prepare_modules()
    if restricted:
        harden_enum()
        harden_sympy()
    warm_up()
    import numpy
    import sympy.core.random

    random.seed(0)
    numpy.random.seed(0)
    sympy.core.random.seed(0)
    sympy.Dummy._base_dummy_index = 10**6  # sympy draws it anew in every process


def warm_up() -> None:
    """Make sympy do its lazy imports and fill its caches once rather than in every worker."""
    import sympy

    x, y = sympy.symbols("x y")
    n = sympy.Symbol("n", integer=True, positive=True)
    sympy.solve(x**3 - 6 * x**2 + 11 * x - 6, x)
    sympy.solve([x + y - 3, x * y - 2], [x, y])
    sympy.linsolve([x + y - 3, x - y - 1], [x, y])
    sympy.solveset(sympy.sin(x) - 1, x, sympy.S.Reals)
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.integrate(x * sympy.exp(x), (x, 0, 1))
    sympy.limit(sympy.sin(x) / x, x, 0)
    sympy.summation(n**2, (n, 1, 10))
    sympy.nsolve(x**2 - 2, x, 1)
    sympy.lambdify(x, x**2 + 1)(2)
    sympy.reduce_inequalities([x**2 < 4], x)
    sympy.Matrix([[1, 2], [3, 4]]).eigenvals()
    sympy.factorint(360), sympy.nsimplify(0.5), sympy.latex(x / 2), sympy.pretty(x / 2)
    sympy.sympify("x**2 + 2*x + 1").factor().diff(x).evalf(subs={x: 2})
