"""What steps must not contain: each error names the construct and the line."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator

import pytest
from support.sandbox_support import run, run_steps

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.language.compiler import NotAllowed, compile_step


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, memory_mb=256, concurrency=1))
    yield made
    asyncio.run(made.close())


def assert_refused(source: str, message: str) -> None:
    """`source` is rejected with `message`, on the line marked `# here`."""
    with pytest.raises(NotAllowed) as caught:
        compile_step(source, "<step 0>")
    assert str(caught.value) == message
    lines = [number for number, line in enumerate(source.splitlines(), start=1) if line.endswith("# here")]
    assert [caught.value.line] == lines


AROUND = {
    "alone": "{}",
    "after others": "x = 1\n\n{}",
    "in a function": "def f(a):\n    a += 1\n    {}",
    "in a method": "class A:\n    x = 1\n    def f(self):\n        if self:\n            {}",
    "in a class": "class A:\n    x = 1\n    {}",
    "in a branch": "if x:\n    pass\nelse:\n    {}",
    "in a loop": "for i in range(3):\n    while i:\n        {}",
    "in a handler": "try:\n    pass\nexcept ValueError:\n    {}\nfinally:\n    pass",
    "in a case": "match x:\n    case 1:\n        {}",
    "in a block": "with x:\n    {}",
}


@pytest.fixture(params=AROUND.values(), ids=AROUND.keys())
def around(request: pytest.FixtureRequest) -> str:
    """A place for a statement."""
    place: str = request.param
    return place


def put(statement: str, around: str) -> str:
    """`statement`, its first line marked, at the place."""
    indent = re.search(r"( *)\{\}", around).group(1)  # type: ignore[union-attr]
    first, *others = statement.splitlines()
    return around.replace("{}", "\n".join([first + "  # here", *(indent + line for line in others)]))


# --- names -----------------------------------------------------------------------------------------------------------

BINDINGS = {
    "a variable": "{} = 1",
    "a variable read": "print({})",
    "one of several targets": "a = b, *{} = 1, 2",
    "an augmented variable": "{} += 1",
    "an annotated variable": "{}: int = 1",
    "a deleted variable": "del {}",
    "a walrus": "print(({} := 1))",
    "a loop variable": "for {} in []: pass",
    "a comprehension's variable": "[1 for {} in []]",
    "a context's variable": "with x as {}: pass",
    "an exception's variable": "try: pass  # here\nexcept ValueError as {}: pass",
    "a function": "def {}(): pass",
    "a parameter": "def f({}): pass",
    "a positional parameter": "def f({}, /): pass",
    "a keyword parameter": "def f(*, {}=1): pass",
    "starred parameters": "def f(*{}): pass",
    "double-starred parameters": "def f(**{}): pass",
    "a lambda's parameter": "lambda {}: 1",
    "an argument": "f({}=1)",
    "a class": "class {}: pass",
    "a base class": "class A({}): pass",
    "a decorator": "@{}\ndef f(): pass",
    "an imported module": "import {}",
    "an imported submodule": "import math.{}",
    "an import's name": "import math as {}",
    "an imported name": "from math import {}",
    "an imported name's name": "from math import pi as {}",
    "a module imported from": "from {} import pi",
    "a global": "global {}",
    "in an f-string": "f'{{{}}}'",
    "in an annotation": "a: {} = 1",
    "a captured name": "match x:\n    case [{}, 1]: pass",
    "a captured rest": "match x:\n    case [1, *{}]: pass",
    "a captured mapping": "match x:\n    case {{1: 2, **{}}}: pass",
    "a captured whole": "match x:\n    case [1] as {}: pass",
    "a pattern's class": "match x:\n    case {}(): pass",
    "a pattern's attribute": "match x:\n    case A({}=1): pass",
}


@pytest.mark.parametrize("binding", BINDINGS.values(), ids=BINDINGS.keys())
@pytest.mark.parametrize("name", ["_getattr_", "__builtins__", "_x_"])
def test_reserved_names_are_refused_wherever_they_stand(binding: str, name: str) -> None:
    message = f"the name '{name}' is reserved; use one that does not begin and end with an underscore"
    for before in ("", "x = 1\n\n"):
        lines = binding.format(name).replace("  # here", "").splitlines()
        marked = [line + "  # here" if name in line else line for line in lines]
        assert_refused(before + "\n".join(marked), message)


def test_a_nonlocal_reserved_name_is_refused() -> None:
    assert_refused(
        "def f():\n    def g():\n        nonlocal _write_  # here",
        "the name '_write_' is reserved; use one that does not begin and end with an underscore",
    )


@pytest.mark.parametrize("name", ["_", "__", "_x", "__x", "x_", "class_", "__init__", "__slots__", "__match_args__"])
def test_other_names_with_underscores_are_not(name: str) -> None:
    compile_step(f"{name} = 1", "<step 0>")
    assert compile_step(f"def {name}(): pass\ntry: pass\nexcept ValueError as {name}: pass", "<step 0>") is not None


# --- attributes ------------------------------------------------------------------------------------------------------

ACCESSES = {
    "a read": "y = x.{}",
    "a write": "x.{} = 1",
    "one of several targets": "a, (b, x.{}) = 1",
    "an augmented write": "x.{} += 1",
    "an annotated write": "x.{}: int = 1",
    "a deletion": "del x.{}",
    "a loop target": "for x.{} in []: pass",
    "a context's target": "with y as x.{}: pass",
    "a call": "f(1)[0].{}()",
    "an argument": "f(*x.{}, k=1)",
    "a keyword argument": "f(k=x.{})",
    "a default": "def f(a=x.{}): pass",
    "in a lambda": "lambda: x.{}",
    "in a comprehension": "[a for a in x.{} if a]",
    "in a condition": "if x.{}: pass",
    "in an f-string": "f'{{x.{}!r:>5}}'",
    "in a format specification": "f'{{1:{{x.{}}}}}'",
    "in an index": "y[x.{}:2] = 1",
    "in an annotation": "def f(a: x.{}): pass",
    "in an annotation of a variable": "a: x.{} = 1",
    "a decorator": "@x.{}\ndef f(): pass",
    "a base class": "class A(x.{}): pass",
    "an exception": "raise x.{}",
    "an assertion": "assert x, x.{}",
    "a subject": "match x.{}:\n    case _: pass",
    "a pattern": "match x:\n    case x.{}: pass",
    "a pattern's class": "match x:\n    case x.{}(): pass",
    "a pattern's guard": "match x:\n    case 1 if x.{}: pass",
    "of super": "super().{}",
}
ATTRIBUTES = {
    "__dict__": "the attribute '__dict__' may not be used: it is one of Python's special names",
    "__subclasses__": "the attribute '__subclasses__' may not be used: it is one of Python's special names",
    "gi_frame": "the attribute 'gi_frame' may not be used: it belongs to the interpreter",
}


@pytest.mark.parametrize("access", ACCESSES.values(), ids=ACCESSES.keys())
@pytest.mark.parametrize(("name", "message"), ATTRIBUTES.items(), ids=ATTRIBUTES.keys())
def test_special_attributes_are_refused_wherever_they_stand(access: str, name: str, message: str) -> None:
    lines = access.format(name).splitlines()
    marked = "\n".join(line + "  # here" if name in line else line for line in lines)
    assert_refused("y = 1\n\n" + marked, message)
    assert_refused("def f():\n" + "\n".join("    " + line for line in marked.splitlines()), message)


# --- constructs ------------------------------------------------------------------------------------------------------

CONSTRUCTS = {
    "async def g(): pass": "this construct may not be used: async function def",
    "class A(metaclass=B): pass": "a class may take no keyword such as metaclass",
    "class A(B, k=1): pass": "a class may take no keyword such as metaclass",
    "from . import a": "an import may not be relative",
    "from ..a import b": "an import may not be relative",
}
CONSTRUCTS["try: pass\nexcept* ValueError: pass"] = "this construct may not be used: try star"
if sys.version_info >= (3, 12):
    CONSTRUCTS["type A = int"] = "this construct may not be used: type alias"
    CONSTRUCTS["def g[T](a): pass"] = "this construct may not be used: type var"


@pytest.mark.parametrize(("statement", "message"), CONSTRUCTS.items())
def test_constructs_are_refused_wherever_they_stand(around: str, statement: str, message: str) -> None:
    assert_refused(put(statement, around), message)


@pytest.mark.parametrize("statement", ["await x", "async for a in x: pass", "async with x: pass"])
def test_asynchronous_code_is_refused(statement: str) -> None:
    assert_refused(
        f"x = 1\nasync def f():  # here\n    {statement}", "this construct may not be used: async function def"
    )
    kind = "await" if statement.startswith("await") else " ".join(statement.split()[:2])
    assert_refused(f"x = 1\n{statement}  # here", f"this construct may not be used: {kind}")


# --- while it runs ---------------------------------------------------------------------------------------------------

LIBRARY = "it belongs to the library"
AT_RUN_TIME = [  # on the last line, if no other is marked
    *(
        (f"{name}('x')", f"'{name}' may not be used in a step")
        for name in ("open", "input", "exec", "compile", "globals")
    ),
    *((f"{name}()", f"'{name}' may not be used in a step") for name in ("locals", "vars", "dir", "exit", "breakpoint")),
    ("type('A', (), {})", "'type' with three arguments may not be used; write a class statement"),
    ("print(1, file=2)", "'print' with 'file' may not be used in a step"),
    ("getattr(1, '__class' + '__').__name__.tofile", "the attribute 'tofile' may not be used in a step"),
    ("getattr((), '__base__')", "the attribute '__base__' of 'tuple' may not be used: it is private"),
    ("(5)._private", "the attribute '_private' of 'int' may not be used: it is private"),
    ("[1].__x", "the attribute '__x' of 'list' may not be used: it is private"),
    ("int.mro()", "the attribute 'mro' may not be used in a step"),
    ("'{0.__class__.__base__}'.format(1)", "the attribute '__base__' of 'type' may not be used: it is private"),
    ("'{a._b}'.format_map({'a': 1})", "the attribute '_b' of 'int' may not be used: it is private"),
    ("f'{str.format(\"{0.tofile}\", 1)}'", "the attribute 'tofile' may not be used in a step"),
    ("match 1:\n    case int(_x=1): pass", "the attribute '_x' of 'int' may not be used: it is private"),
    ("match 'a':\n    case str(tofile=f): pass", "the attribute 'tofile' may not be used in a step"),
    ("import os", "ImportError: 'os' cannot be imported in a step; these can: abc, bisect"),
    ("import time", "ImportError: 'time' cannot be imported in a step: a step may not read the clock"),
    ("from math import a", "ImportError: cannot import name 'a' from 'math'"),
    ("import sys\nsys.exit(1)", "'sys.exit' may not be used in a step"),
    ("import numpy as np\nnp.load('a')", "'numpy.load' may not be used in a step"),
    ("from numpy import load", "'numpy.load' may not be used in a step"),
    (
        "from datetime import datetime\ndatetime.now()",
        "'now' may not be used in a step: its result would depend on when",
    ),
    ("import math\nmath.pi = 3", "names of the module 'math' may not be changed"),
    ("import math\ndel math.pi", "names of the module 'math' may not be changed"),
    ("import math\nsetattr(math, 'pi', 3)", "names of the module 'math' may not be changed"),
    ("int.x = 1", f"the attribute 'x' of 'int' may not be changed: {LIBRARY}"),
    (
        "from fractions import Fraction\nFraction.x = 1",
        f"the attribute 'x' of 'Fraction' may not be changed: {LIBRARY}",
    ),
    ("from statistics import mean\nmean.x = 1", f"the attribute 'x' of 'mean' may not be changed: {LIBRARY}"),
    (
        "from sympy import Symbol\nSymbol('x').name = 'y'",
        f"the attribute 'name' of a 'Symbol' may not be changed: {LIBRARY}",
    ),
    ("class A: pass\nsetattr(A(), '__doc' + '__', 1)", "the attribute '__doc__' may not be changed"),
    ("from string import digits\nimport calendar\ncalendar.day_name[0] = 1", "may not be changed"),
    (
        "import numbers\nclass A: pass\nnumbers.Number.register(A)",
        "'register' may be called on the step's own classes only",
    ),
    (
        "from collections.abc import Sized\n@Sized.register  # here\nclass A: pass",
        "'register' may be called on the step's own",
    ),
    ("from sympy import Q\nQ.prime.register", "'register' may be called on the step's own classes only"),
    ("from functools import wraps\nwraps(len)(len)", "'wraps' may decorate the step's own functions only"),
    (
        "from dataclasses import dataclass\nfrom fractions import Fraction\ndataclass(Fraction)",
        "'dataclass' may decorate the step's own classes only",
    ),
    (
        "from functools import total_ordering\ntotal_ordering(int)",
        "'total_ordering' may decorate the step's own classes",
    ),
    ("from abc import abstractmethod\nabstractmethod(len)", "'abstractmethod' may decorate the step's own functions"),
    ("import numpy as np\nnp.zeros(2).data", "the attribute 'data' of 'ndarray' may not be used: it is raw memory"),
    (
        "import numpy as np\nnp.frombuffer(np.array([[]], dtype=object))",
        "'numpy.frombuffer' may read bytes and arrays of numbers only",
    ),
    (
        "from sympy import Function, Symbol, lambdify\nlambdify(Symbol('x'), Symbol('x'), modules=[str])",
        "lambdify may take names from modules and dictionaries only",
    ),
    (
        "from sympy import ZZ\nfrom sympy.polys.rings import ring\nring('_x_', ZZ)",
        "a ring may take symbols only whose names do not begin and end with an underscore",
    ),
    (
        "from collections.abc import Callable\nclass A(type(Callable[[int], int])): pass",
        "a class may not derive from '_CallableGenericAlias'",
    ),
    ("from sympy import var\nvar('_write_')", "'var' may not make a variable '_write_' here"),
    (
        "from enum import Enum\nEnum('A', {'__array_interface__': 1})",
        "an enumeration may take member names without leading",
    ),
    ("from enum import Enum\nEnum('A', 'B', type=str)", "an enumeration may take member names without leading"),
    ("from sympy import FunctionClass", "'sympy.FunctionClass' may not be used in a step"),
    ("import sympy\nsympy.sympify('x.__class__.__base__')", "the attribute '__base__' may not be used"),
    ("import numpy as np\nclass A(np.ndarray): pass", "a class may not derive from 'ndarray'"),
    ("from sympy import StrPrinter\nclass A(StrPrinter): pass", "a class may not derive from 'StrPrinter'"),
    ("class A(property): pass", "a class may not derive from 'property'"),
    ("import numpy as np\nnp.ndarray((1,))", "'numpy.ndarray' may not be called: it reads any memory"),
    ("import numpy as np\ntype(np.arange(2))((1,))", "'numpy.ndarray' may not be called: it reads any memory"),
    ("import numpy as np\nnp.arange(2).resize(9)", "an array may not be resized: its views would read freed memory"),
    (
        "list.append([], 1)\ndict.__setitem__({}, 1, 2)",
        "'dict.__setitem__' may be called on the step's own classes only",
    ),
    ("import numpy as np\nnp.ndarray.resize(np.arange(2), 9)", "an array may not be resized: its views would read"),
    (
        "import numpy as np\nsuper(np.matrix, np.matrix([1])).__new__",
        "'super' may not be used with 'matrix', only with",
    ),
    ("eval('x.__dict__')", "the attribute '__dict__' may not be used: it is one of Python's special names"),
]


@pytest.mark.parametrize(("code", "message"), AT_RUN_TIME, ids=[code for code, _ in AT_RUN_TIME])
def test_what_is_refused_at_run_time_is_named_with_its_line(executor: SandboxExecutor, code: str, message: str) -> None:
    error = run(executor, "ready = 1\n" + code).error or ""
    assert error.startswith(("NotAllowed: ", "ImportError: "))
    assert message in error
    lines = code.splitlines()
    wanted = next((line for line in lines if line.endswith("# here")), lines[-1])
    assert error.endswith(f"(line {lines.index(wanted) + 2}: `{wanted.strip()}`)")


INSIDE = "def f(a):\n    b = 1\n    return {}"


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("1 / (a - a)", "ZeroDivisionError: division by zero"),
        ("a.tofile", "NotAllowed: the attribute 'tofile' may not be used in a step"),
        ("open('x')", "NotAllowed: 'open' may not be used in a step"),
        ("a.nothing", "AttributeError: 'int' object has no attribute 'nothing'"),
        ("[f(None) for i in a] if a else 1 + a", "TypeError: 'int' object is not iterable"),
        ("eval('a +')", "SyntaxError: invalid syntax"),
    ],
)
def test_errors_in_a_function_show_the_line_of_the_step_that_called_it(
    executor: SandboxExecutor, expression: str, error: str
) -> None:
    function = INSIDE.format(expression)
    earlier = run_steps(executor, function, "x = 1\n\ny = [f(5)]")[-1]
    assert earlier.error == f"{error} (line 3: `y = [f(5)]`)"
    own = run(executor, function + "\nf(5)")
    assert own.error == f"{error} (line 3: `{function.splitlines()[2].strip()}`)"
    through_a_library = run_steps(executor, function, "x = 1\ny = sorted([5, 6], key=f)")[-1]
    assert through_a_library.error == f"{error} (line 2: `y = sorted([5, 6], key=f)`)"
