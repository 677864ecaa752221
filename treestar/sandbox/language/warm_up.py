"""Prepares the libraries before the first fork, so that they are loaded, warm and in the same state for every step."""

from __future__ import annotations

import random
import sys
import warnings

from treestar.sandbox.language.hardening import harden_enum, harden_sympy
from treestar.sandbox.language.modules import prepare_modules

__all__ = ["load_libraries"]


def load_libraries(restricted: bool) -> None:
    """Import and warm up the libraries that steps use, with the same random numbers in every run.

    `restricted`: also remove their dangerous features.
    """
    warnings.simplefilter("ignore")
    sys.set_int_max_str_digits(0)  # digit sums of large powers are common questions; the deadline bounds their cost
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
    sympy.Dummy._base_dummy_index = 10**6  # sympy draws a random one in every process


def warm_up() -> None:
    """Do sympy's lazy imports and fill its caches once instead of in every worker."""
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
