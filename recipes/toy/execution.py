"""Run the code of whole solutions while the bootstrap policy is made: a whitelist of syntax and a time limit.

Only for the recipe's own teachers, model and problems. Search runs steps in the sandbox of `treestar.verifier`, never
here.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import CodeType

__all__ = ["answers_match", "run_steps"]

ALLOWED = (
    ast.Module, ast.Assign, ast.AugAssign, ast.Expr, ast.ImportFrom, ast.alias, ast.Call, ast.Name, ast.Load, ast.Store,
    ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.JoinedStr, ast.FormattedValue, ast.Tuple,
)  # fmt: skip
IMPORTS = {*(("math", name) for name in ("ceil", "comb", "factorial", "gcd", "lcm", "sqrt")), ("sympy", "primerange")}
LARGEST = 10**9


def answers_match(output: str, gold: str) -> bool:
    """Whether the output equals the gold answer: as text, or as a number up to a relative 1e-6."""
    output, gold = output.strip(), gold.strip()
    if output == gold:
        return True
    try:
        return math.isclose(float(Fraction(output)), float(Fraction(gold)), rel_tol=1e-6, abs_tol=1e-9)
    except (ValueError, ZeroDivisionError, OverflowError):
        return False


def run_steps(preamble: str, steps: Sequence[str], seconds: float = 1.0) -> str | None:
    """The output of the steps, or None if the code is rejected, fails, prints nothing or takes too long."""
    try:
        code = compiled("\n".join([preamble, *steps]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    printed: list[str] = []

    def write(*values: object) -> None:
        buffer = io.StringIO()
        print(*values, file=buffer)
        printed.append(buffer.getvalue())

    builtins = {"print": write, "__import__": allow_import, "list": list, "len": len, "round": round, "int": int,
                "abs": abs, "sum": sum, "min": min, "max": max}  # fmt: skip
    try:
        with time_limit(seconds):
            exec(code, {"__builtins__": builtins})
    except Exception:
        return None
    return "".join(printed).strip() or None


def compiled(source: str) -> CodeType:
    """The source as code, if it contains only plain arithmetic, printing and the teachers' imports."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or isinstance(node, ast.LShift):
            raise ValueError(f"{type(node).__name__} is not allowed here")
        if isinstance(getattr(node, "op", None), ast.Pow) and not has_small_exponent(node):
            raise ValueError("only a power with a small constant as its exponent is allowed here")
        if isinstance(node, ast.ImportFrom) and not all((node.module, n.name) in IMPORTS for n in node.names):
            raise ValueError("this import is not allowed here")
        if isinstance(node, ast.Name) and node.id.startswith("_"):
            raise ValueError("this name is not allowed here")
    return compile(tree, "<steps>", "exec")


def has_small_exponent(node: ast.AST) -> bool:
    """Whether `node` is a power with a whole number up to 20 as its exponent."""
    return isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant) and node.right.value in range(21)


def allow_import(
    name: str, _globals: object = None, _locals: object = None, fromlist: Sequence[str] = (), _level: int = 0
) -> object:
    """The import of a step: only the functions in `IMPORTS`."""
    if any((name, item) not in IMPORTS for item in fromlist) or not fromlist:
        raise ImportError(name)
    if name == "sympy":
        return Sympy
    return math


class Sympy:
    """sympy's primerange, with an upper bound."""

    @staticmethod
    def primerange(low: int, high: int) -> Iterator[int]:
        """The primes in [low, high)."""
        from sympy import primerange

        if high - low > LARGEST or high > LARGEST:
            raise ValueError("the range is too large")
        yield from primerange(low, high)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread after `seconds`; elsewhere the whitelist alone bounds the work."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_number: int, _frame: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
