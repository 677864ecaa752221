"""The language of steps, and how errors are reported to the model that wrote them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from support.sandbox_support import plain_output, run, run_steps

from treestar.sandbox import SandboxConfig, SandboxExecutor


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, memory_mb=256, output_limit=2000, concurrency=2))
    yield made
    asyncio.run(made.close())


PROGRAMS = r"""
x = [1, 2, 3]; x[0] += 5; x[1:3] = [9]; del x[0]; print(x)
---
a, (b, *c) = 1, (2, 3, 4); print(a, b, c, {**{'k': 1}, 'j': 2}, [*c])
---
from collections import Counter, defaultdict, deque, namedtuple
from collections.abc import Iterable
m = defaultdict(list); m[1].append(2); P = namedtuple('P', 'x y'); p = P(1, 2)
print(dict(m), Counter('aab').most_common(1), p, p._replace(x=5), p._asdict(), deque([1], maxlen=1))
---
class A:
    '''A class as models write it.'''
    count = 0
    def __init__(self, x: int) -> None:
        self.x = x; self._y = 2; A.count += 1
    def __add__(self, other): return A(self.x + other.x)
    def __repr__(self): return f"A({self.x})"
    @property
    def double(self): return self.x * 2
    @staticmethod
    def s(): return 1
    @classmethod
    def c(cls): return cls(7)
class B(A):
    def __init__(self, x):
        super().__init__(x)
        A.__init__(self, x)
        self.z = self._y
a = A(1) + A(2); b = B(3); b.x += 1; b._y += 4
print(a, a.double, A.s(), A.c(), b.z, b, A.count, type(b).__name__, b.__class__.__name__, isinstance(b, A), b._y)
---
import hashlib
from hashlib import sha256 as digest
print(hashlib.md5("a b".encode()).hexdigest(), digest(b"x").hexdigest()[:8])
running = hashlib.sha1()
running.update(b"a")
other = running.copy()
other.update(b"b")
print(running.hexdigest() == hashlib.sha1(b"a").hexdigest(), other.digest() == hashlib.sha1(b"ab").digest())
---
from dataclasses import dataclass, field
@dataclass(order=True)
class P:
    x: int
    y: list = field(default_factory=list)
print(P(1), P(1) < P(2), P(1) == P(1))
---
from typing import List, NamedTuple, Optional
class Q(NamedTuple):
    x: int
    y: float = 2.0
def f(a: List[int], *, k: Optional[int] = None) -> float:
    n: int = 3
    return sum(a) * n
print(Q(1), f([1, 2]))
---
def outer():
    n = 0
    def inner():
        nonlocal n
        n += 1
        return n
    inner(); return inner()
total = 0
def add(k):
    global total
    total += k
add(3); print(outer(), total)
---
from functools import lru_cache, reduce, wraps
@lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def traced(f):
    @wraps(f)
    def g(*args, **options): return f(*args, **options)
    return g
@traced
def h(a, b=2): return a + b
print(fib(80), reduce(lambda a, b: a * b, [1, 2, 3]), h(1), h(*[1], **{'b': 5}), h.__name__)
---
try:
    1 / 0
except (ZeroDivisionError, ValueError) as e:
    print("caught", e, type(e).__name__)
else: print('no')
finally: print("finally")
---
def gen():
    yield 1
    yield from [2, 3]
print(list(gen()), sum(x * x for x in range(4)), {k: v for k, v in zip('ab', (1, 2))}, {i % 3 for i in range(9)})
print([(i, j) for i in range(3) for j in range(i)], max(range(5), key=lambda t: -t), list(enumerate('ab', 1)))
---
if (n := 10) > 5: print(f"{n=} {3.14159:.2f} {n!r:>4}", "{:.2f} {a[0]} {b.real}".format(2.5, a=[1], b=2), "%d%%" % 5)
---
from math import *
print(sqrt(16), pi, gcd(4, 6), comb(5, 2), factorial(5), floor(-0.5))
---
from sympy import *
x, y = symbols('x y')
print(solve(x**2 - 4, x), sympify("x**2").subs(x, 3), simplify("2*x + 3*x"), N(pi, 5), Matrix([[1, 2], [3, 4]]).det())
print(solve([x + y - 3, x - y - 1], [x, y]), Poly("x**2 + 1"), integrate(sin(x), (x, 0, pi)), factorint(60), E)
---
import sympy as sp
import numpy as np
x = sp.Symbol('x')
print(round(sp.lambdify(x, sp.sin(x) + x**2)(1), 4), sp.lambdify([x], x / 2, 'numpy')(np.array([1, 2])))
print(sp.nsolve(x**2 - 2.5, x, 1), sp.lambdify(x, sp.Max(x, 3))(2), sp.dsolve(sp.Function('f')(x).diff(x) - x))
---
from sympy.parsing.sympy_parser import implicit_multiplication_application, parse_expr, standard_transformations
from sympy.ntheory.modular import crt
from sympy.abc import a, b
print(parse_expr("2a + 3", transformations=standard_transformations + (implicit_multiplication_application,)))
print(parse_expr("1 + 2", evaluate=False), crt([3, 5], [2, 3]), a + b)
---
import numpy as np
a = np.array([[1., 2], [3, 4]]); a[0, 1] += 5; a[a > 3] = 0
print(a, np.linalg.det(a), a.T.shape, np.arange(4).reshape(2, 2).sum(axis=0), np.linalg.solve(np.eye(2), [1, 2]))
---
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
getcontext().prec = 30
print(Fraction(1, 3) + Fraction('1/6'), Fraction(0.5).limit_denominator(10).numerator, Decimal(1) / Decimal(7))
with localcontext() as context:
    context.prec = 5
    print(Decimal(1) / 3)
---
import bisect, calendar, heapq, itertools, operator, re, statistics, string
print(list(itertools.permutations([1, 2, 3], 2))[:2], statistics.mean([1, 2]), operator.mul(2, 3))
print(heapq.nsmallest(1, [3, 1]), bisect.bisect([1, 3], 2), re.findall(r'\d+', 'a1b22'), string.digits)
---
from datetime import date, datetime, timedelta
print((date(2024, 3, 1) - date(2024, 2, 1)).days, datetime(2024, 1, 1) + timedelta(days=3))
print(datetime.strptime("2024-01-05", "%Y-%m-%d").weekday(), date(2024, 1, 1).strftime("%A"))
---
def main():
    print("main", __name__)
if __name__ == "__main__":
    main()
---
match (1, 2):
    case (0, _): print('zero')
    case (x, y) if y > 1: print(x, y)
match 5:
    case int() as n: print(n)
---
print(eval("1 + 2 * 3"), eval("x + 1", {"x": 4}), eval('+'.join(['1'] * 500)))
---
print(bin(5), hex(255), ord('a'), chr(97), divmod(7, 2), pow(2, 10, 7), round(2.567, 2), abs(-3), any([0, 1]), all([]))
print(list(reversed([1, 2])), list(map(int, '12')), int('ff', 16), float('inf'), complex(1, 2), callable(print))
print(sorted([3, 1], reverse=True), isinstance(True, int), tuple([1]), frozenset([1]), next(iter([1])), type(1))
---
import copy
a = [[1]]; b = copy.deepcopy(a); b[0].append(2); print(a, b)
""".strip().split("\n---\n")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.splitlines()[0][:40])
def test_ordinary_code_runs_as_in_a_plain_interpreter(executor: SandboxExecutor, program: str) -> None:
    execution = run(executor, program)
    assert execution.error is None
    assert execution.output == plain_output(program)[0]


def test_large_integers_print(executor: SandboxExecutor) -> None:
    assert run(executor, "print(sum(int(digit) for digit in str(2**15000)))").output == "20359\n"
    raised = "import sys\nsys.set_int_max_str_digits(0)\nprint(len(str(10**5000)), sys.get_int_max_str_digits())"
    assert run(executor, raised).output == "5001 0\n"


def test_integers_of_many_thousand_digits_are_read_divided_and_printed(executor: SandboxExecutor) -> None:
    """Python 3.12 and newer do this in a module that they import when it is first needed."""
    assert run(executor, "print(sum(int(digit) for digit in str(2**100000)))").output == "135178\n"
    assert run(executor, "print(int('7' * 20000) % 97)").output == "79\n"
    assert run(executor, "print(3**40000 // 7**10000 % 1000)").output == f"{3**40000 // 7**10000 % 1000}\n"


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("y = 0\nx = 1 / y", "ZeroDivisionError: division by zero (line 2: `x = 1 / y`)"),
        ("x = = 2", "SyntaxError: invalid syntax (line 1: `x = = 2`)"),
        ("print(a)", "NameError: name 'a' is not defined (line 1: `print(a)`)"),
        (
            "x = 1\neval('1 +')",
            "SyntaxError: invalid syntax (line 2: `eval('1 +')`)",
        ),
        (
            "x = 1\neval('x.__dict__')",
            "NotAllowed: the attribute '__dict__' may not be used: it is one of Python's special names "
            "(line 2: `eval('x.__dict__')`)",
        ),
        ("raise SystemExit", "SystemExit (line 1: `raise SystemExit`)"),
        ("assert 1 == 2, 'no'", "AssertionError: no (line 1: `assert 1 == 2, 'no'`)"),
        ("import math\nmath.a", "AttributeError: module 'math' has no attribute 'a' (line 2: `math.a`)"),
        ("from math import a", "ImportError: cannot import name 'a' from 'math' (line 1: `from math import a`)"),
        ("x = 1\nopen('a')", "NotAllowed: 'open' may not be used in a step (line 2: `open('a')`)"),
        (
            "x = 1\ny = x.__dict__",
            "NotAllowed: the attribute '__dict__' may not be used: it is one of Python's special names "
            "(line 2: `y = x.__dict__`)",
        ),
        ("await x", "NotAllowed: this construct may not be used: await (line 1: `await x`)"),
        ("import numpy\nnumpy.load", "NotAllowed: 'numpy.load' may not be used in a step (line 2: `numpy.load`)"),
    ],
)  # fmt: skip
def test_errors_name_the_failure_and_the_line(executor: SandboxExecutor, code: str, error: str) -> None:
    execution = run(executor, code)
    assert execution.error == error
    assert execution.snapshot is None


def test_errors_in_a_function_of_an_earlier_step_show_the_calling_line(executor: SandboxExecutor) -> None:
    execution = run_steps(executor, "def f(n):\n    return 1 / n", "x = 1\ny = f(0)")[-1]
    assert execution.error == "ZeroDivisionError: division by zero (line 2: `y = f(0)`)"


def test_output_before_an_error_is_kept(executor: SandboxExecutor) -> None:
    execution = run(executor, "print('before')\n1 / 0")
    assert execution.output == "before\n"
    assert execution.error is not None


def test_an_import_that_is_refused_says_what_can_be_imported(executor: SandboxExecutor) -> None:
    error = run(executor, "import os").error or ""
    assert error.startswith("ImportError: 'os' cannot be imported in a step; these can: abc, bisect, ")
    assert "sympy" in error


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sympy.simplify.hyperexpand_doc", "ImportError: No module named 'sympy.simplify.hyperexpand_doc'"),
        ("import numpy\nnumpy.f2py", "NotAllowed: 'numpy.f2py' may not be used in a step"),
    ],
)
def test_what_no_step_needs_is_not_loaded(executor: SandboxExecutor, code: str, message: str) -> None:
    assert (run(executor, code).error or "").startswith(message)


def test_text_that_no_file_can_hold_is_escaped(executor: SandboxExecutor) -> None:
    assert run(executor, r"print('\ud800')").output == "\\ud800\n"
    assert run(executor, "x = '\x00'").error is not None
    assert run(executor, "x = '\ud800'").error is not None


@pytest.mark.parametrize(
    "code",
    ["(" * 5000, "x = " + "-" * 100_000 + "1", "[" * 250 + "]" * 250, "lambda: " * 3000 + "1", "not " * 30_000 + "x"],
    ids=["parentheses", "signs", "brackets", "lambdas", "nots"],
)
def test_code_that_is_hard_to_parse_fails_in_its_own_process(executor: SandboxExecutor, code: str) -> None:
    assert run(executor, code).error is not None
    assert run(executor, "print(1)").output == "1\n"
