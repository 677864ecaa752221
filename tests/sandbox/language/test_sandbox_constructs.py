"""Seventy constructs of ordinary math code, as models write it: each prints the same here as in plain Python."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import io
import operator
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from RestrictedPython import compile_restricted, safe_globals
from RestrictedPython.Eval import default_guarded_getitem, default_guarded_getiter
from RestrictedPython.Guards import guarded_iter_unpack_sequence, guarded_unpack_sequence, safer_getattr_raise
from RestrictedPython.PrintCollector import PrintCollector
from support.paths import DATA
from support.sandbox_support import plain_output

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.language.compiler import words
from treestar.types import Execution

PROGRAMS = (DATA / "constructs.txt").read_text(encoding="utf-8")
"""Each program behind a line `=== its name`."""

CONSTRUCTS: dict[str, str] = {
    name: program for name, _, program in (part.partition("\n") for part in ("\n" + PROGRAMS).split("\n=== ")[1:])
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Executor]:
    """A process for programs that change process state: random numbers, decimal context, recursion limit."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        yield executor


async def run_all(executor: SandboxExecutor) -> dict[str, Execution]:
    executions = {}
    for name, program in CONSTRUCTS.items():
        interpreter = await executor.open()
        executions[name] = await interpreter.run(program, None)
        await interpreter.close()
    await executor.close()
    return executions


def test_there_are_seventy() -> None:
    assert len(CONSTRUCTS) == 70


def test_every_construct_runs_as_in_plain_python(elsewhere: Executor) -> None:
    executions = asyncio.run(run_all(SandboxExecutor(SandboxConfig(seconds=60.0, concurrency=2))))
    errors = {name: execution.error for name, execution in executions.items() if execution.error is not None}
    assert errors == {}
    for name, program in CONSTRUCTS.items():
        output, failure = elsewhere.submit(plain_output, program).result()
        assert failure is None, name
        assert output, name
        assert executions[name].output == output, name


IN_PLACE = {"+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "//=": operator.ifloordiv}

STOCK_BUILTINS = {
    **safe_globals["__builtins__"],
    **{
        name: getattr(builtins, name)
        for name in words(
            "__import__ all any bytes classmethod dict enumerate eval filter frozenset getattr iter list map max min "
            "next object property reversed set sorted staticmethod sum super tuple type zip"
        )
    },
}
"""The library's safe builtins and those it omits, so that only its language rejects a construct."""


def stock_output(program: str) -> str | None:
    """The output of `program` in stock RestrictedPython with its own guards; None if it is rejected."""
    variables = {
        "__builtins__": STOCK_BUILTINS,
        "__name__": "__main__",
        "__metaclass__": type,
        "_getattr_": safer_getattr_raise,
        "_getitem_": default_guarded_getitem,
        "_getiter_": default_guarded_getiter,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": lambda value: value,
        "_inplacevar_": lambda symbol, left, right: IN_PLACE[symbol](left, right),
        "_print_": PrintCollector,
    }
    stray = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(stray):
            warnings.simplefilter("ignore")
            exec(compile_restricted(program, "<stock>", "exec"), variables)
    except Exception:
        return None
    return stray.getvalue() + (variables["_print"]() if "_print" in variables else "")


def test_stock_restricted_python_runs_fewer(elsewhere: Executor) -> None:
    """It rejects the others, or loses their output, although it has every builtin and unguarded writes."""
    same = [
        name
        for name, program in CONSTRUCTS.items()
        if elsewhere.submit(stock_output, program).result() == elsewhere.submit(plain_output, program).result()[0]
    ]
    assert 0 < len(same) < 70, f"stock RestrictedPython runs {len(same)} of 70"
    assert "star import" not in same
