"""Attacks on the sandbox: none may read the secret file, write a file, outlive its deadline or harm the next step."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from treestar.types import Execution
from treestar.verifier.sandbox import SandboxConfig, SandboxExecutor

DATA = Path(__file__).parents[1].parent / "shared" / "data"
SECRET = "TS-4f1c-secret"
SECONDS = 1.0

FURTHER_ATTACKS = {
    "overridden code generator of polys": """
        from sympy.polys.monomials import MonomialOps
        class M(MonomialOps):
            def _vars(self, name):
                return ["a = open('{SECRET}').read()"]
        out = M(1).mul()
        """,
    "special names in an undefined function's class": """
        from sympy import Function
        import numpy as np
        memory = {"data": (0, False), "shape": (8,), "typestr": "|u1", "version": 3}
        F = Function("f", **{"__array_interface__": memory})
        out = np.array(F)
        """,
    "augmented assignment reads an attribute unguarded": """
        import numpy as np
        class Taker:
            def __radd__(self, method):
                method("{OUT}/written")
                return self
        a = np.arange(3)
        a.tofile += Taker()
        """,
    "UserString formats unguarded": """
        from collections import UserString
        out = UserString("{0.__init__.__globals__}").format(print)
        """,
    "wraps copies attributes": """
        import functools, numpy as np
        def f(): pass
        functools.update_wrapper(f, np, assigned=("load",), updated=())
        out = f.load("{SECRET}")
        """,
    "wraps marks a library class as the step's own": """
        import functools, sympy
        def f(): pass
        functools.wraps(f)(sympy.Symbol)
        out = sympy.Symbol("x")._assumptions_orig
        """,
    "the metaclass of a class": "out = type(int)('X', (), {'__getattr__': print})",
    "a library module by item": """
        import sympy
        out = sympy.core.sympify.converter
        f = sympy.lambdify([], sympy.Symbol("os"), modules=[sympy])
        out = f()
        """,
    "lambdify with an import in the printer": """
        from sympy import Symbol, lambdify
        class P:
            module_imports = {"os": {"popen"}}
            def doprint(self, *a): return "def _lambdifygenerated(): return popen('cat {SECRET}').read()"
        out = lambdify([], Symbol("x"), printer=P)()
        """,
    "lambdify of a name of numpy": """
        from sympy import Function, Symbol, lambdify
        x = Symbol("x")
        out = lambdify(x, Function("load")(x), "numpy")("{SECRET}")
        """,
    "lambdify with a class as module": """
        import numpy as np
        from sympy import Function, lambdify, symbols
        a, b = symbols("a b")
        lambdify([a, b], Function("tofile")(a, b), modules=[np.ndarray])(np.arange(3), "{OUT}/written")
        """,
    "local names of a parsed expression": """
        from sympy.parsing.sympy_parser import parse_expr
        out = parse_expr("a.b", local_dict={"_getattr_": lambda o, n: open, "a": 1})("{SECRET}").read()
        """,
    "parser transformations that write code": """
        from sympy.parsing.sympy_parser import parse_expr
        def t(tokens, local, all):
            return [(1, "open"), (54, "("), (3, "'{SECRET}'"), (54, ")"), (54, "."), (1, "read"), (54, "("), (54, ")")]
        out = parse_expr("x", transformations=(t,))
        """,
    "eval with guards replaced": "out = eval('a.b', {'_getattr_': lambda o, n: open, 'a': 1})",
    "eval of a dunder": "out = eval('().__class__.__base__.__subclasses__()')",
    "traceback of a context manager": """
        class C:
            def __enter__(self): return self
            def __exit__(self, kind, error, traceback):
                global out
                out = traceback.tb_frame.f_back.f_globals
                return True
        with C():
            1 / 0
        """,
    "module hidden in an exception": """
        import sympy
        try:
            sympy.core.nothing
        except AttributeError as e:
            out = e.obj.sys
        except Exception as e:
            out = e.args
        """,
    "positional pattern reads a named field unguarded": """
        from dataclasses import dataclass
        @dataclass
        class D(str):
            format: int
        match D("{0.__init__.__globals__}"):
            case D(f):
                out = f(print)
        """,
    "format through super": """
        class S(str):
            def show(self, x):
                return super().format(x)
        out = S("{0.__init__.__globals__}").show(print)
        """,
    "sympy calls a method by its name": """
        from sympy.core.decorators import call_highest_priority
        out = call_highest_priority("__reduce__")
        """,
    "sympy imports a function by its name": """
        from sympy.core.cache import lazy_function
        out = lazy_function("os:popen")("cat {SECRET}").read()
        """,
    "bmat looks names up in frames": "import numpy as np\nout = np.bmat('__builtins__')",
    "star import of a module that is not permitted": "from os import *\nout = popen('cat {SECRET}').read()",
    "assigning a guard": "_getattr_ = lambda o, n: 1",
    "deleting a guard": "del _getattr_",
    "walrus on a guard": "(_getattr_ := 1)",
    "keyword-only parameter named as a guard": "def f(*, _write_): pass",
    "capture pattern named as a guard": "match 1:\n    case _getattr_: pass",
    "except clause named as a guard": "try:\n    1 / 0\nexcept ZeroDivisionError as _getattr_:\n    pass",
    "rebinding builtins": "__builtins__ = {}",
    "code object of a function": "out = (lambda: 0).__code__",
    "globals of a guard": "out = getattr.__globals__",
    "closure of print": "out = print.__closure__",
    "generator frame by augmented assignment": "g = (x for x in [1])\ng.gi_frame += 1",
    "memoryview of an array's address": "import numpy as np\nout = np.arange(3).ctypes.data",
    "strides past the end": "import numpy as np\nout = np.lib.stride_tricks.as_strided(np.arange(3), (1000,), (8,))",
    "deleting a library's name": "import math\ndel math.sqrt",
    "replacing a library's function": "import math\nmath.sqrt = len",
    "replacing a library class's method": "from fractions import Fraction\nFraction.limit_denominator = len",
}


class Attack(NamedTuple):
    name: str
    code: str


def load(name: str) -> list[Attack]:
    path = DATA / name
    if not path.exists():
        return []
    return [Attack(entry["name"], entry["code"]) for entry in json.loads(path.read_text())]


PAYLOADS = load("attack_payloads.json")
HOSTILE = load("hostile_steps.json")
FURTHER = [Attack(name, "\n".join(line.removeprefix(" " * 8) for line in code.strip("\n").splitlines()))
           for name, code in FURTHER_ATTACKS.items()]  # fmt: skip


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=SECONDS, memory_mb=256))
    yield made
    asyncio.run(made.close())


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that everybody may read and write, with the secret in it: file permissions stop no attack."""
    folder = Path(tempfile.mkdtemp())
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "out").mkdir()
    for path in (folder, folder / "out"):
        path.chmod(0o777)
    (folder / "secret").chmod(0o644)
    yield folder
    shutil.rmtree(folder)


def attempt(executor: SandboxExecutor, ground: Path, code: str) -> list[Execution]:
    """Run the attack, then read what it found, then a harmless step."""

    async def body() -> list[Execution]:
        interpreter = await executor.open()
        aimed = code.replace("{SECRET}", str(ground / "secret")).replace("{OUT}", str(ground / "out"))
        executions = [await interpreter.run(aimed, None)]
        if executions[0].error is None:
            executions.append(await interpreter.run("print(repr(out)[:5000])", executions[0].snapshot))
        executions.append(await interpreter.run("print(6 * 7)", None))
        await interpreter.close()
        return executions

    return asyncio.run(body())


def assert_harmless(executions: list[Execution], ground: Path) -> None:
    assert not any(SECRET in execution.output or SECRET in (execution.error or "") for execution in executions)
    assert list((ground / "out").iterdir()) == []
    assert executions[-1].output == "42\n"


needs_payloads = pytest.mark.skipif(not PAYLOADS, reason=f"{DATA / 'attack_payloads.json'} is not here")
needs_hostile = pytest.mark.skipif(not HOSTILE, reason=f"{DATA / 'hostile_steps.json'} is not here")


@needs_payloads
@pytest.mark.parametrize("attack", PAYLOADS, ids=lambda attack: attack.name)
def test_known_attacks_reach_nothing(executor: SandboxExecutor, ground: Path, attack: Attack) -> None:
    assert_harmless(attempt(executor, ground, attack.code), ground)


@needs_hostile
@pytest.mark.parametrize("attack", HOSTILE, ids=lambda attack: attack.name)
def test_hostile_steps_end_within_their_deadline(executor: SandboxExecutor, ground: Path, attack: Attack) -> None:
    started = time.monotonic()
    executions = attempt(executor, ground, attack.code)
    assert_harmless(executions, ground)
    assert time.monotonic() - started < SECONDS + 4
    assert (executions[0].error is None) == (attack.name == "ok")


@pytest.mark.parametrize("attack", FURTHER, ids=lambda attack: attack.name)
def test_further_attacks_are_refused(executor: SandboxExecutor, ground: Path, attack: Attack) -> None:
    executions = attempt(executor, ground, attack.code)
    assert_harmless(executions, ground)
    assert executions[0].error is not None
