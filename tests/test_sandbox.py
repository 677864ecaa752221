"""The sandbox: what steps print, see, may take, and what is left when processes die. Real processes throughout."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treestar.types import Execution, Executor, Snapshot, TreestarError
from treestar.verifier.sandbox import SandboxConfig, SandboxExecutor
from treestar.verifier.sandbox.executor import SandboxInterpreter
from treestar.verifier.sandbox.frames import FrameBuffer, FrameError, encode

Result = TypeVar("Result")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=2.0, memory_mb=256, output_limit=2000, concurrency=2))
    yield made
    asyncio.run(made.close())


def with_interpreter(executor: SandboxExecutor, use: Callable[[SandboxInterpreter], Awaitable[Result]]) -> Result:
    async def body() -> Result:
        interpreter = await executor.open()
        try:
            return await use(interpreter)
        finally:
            await interpreter.close()

    return asyncio.run(body())


def run_steps(executor: SandboxExecutor, *steps: str) -> list[Execution]:
    """Run `steps` one after the other, up to and with the first that fails."""

    async def use(interpreter: SandboxInterpreter) -> list[Execution]:
        executions: list[Execution] = []
        snapshot: Snapshot | None = None
        for step in steps:
            executions.append(await interpreter.run(step, snapshot))
            if executions[-1].error is not None:
                break
            snapshot = executions[-1].snapshot
        return executions

    return with_interpreter(executor, use)


def run(executor: SandboxExecutor, code: str) -> Execution:
    return run_steps(executor, textwrap.dedent(code))[0]


def plain_output(code: str) -> tuple[str, str | None]:
    """What an ordinary interpreter prints, and the name of the exception that ended it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(code, "<plain>", "exec"), {"__name__": "__main__"})
        except Exception as error:
            return printed.getvalue(), type(error).__name__
    return printed.getvalue(), None


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
    return found


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def zygote_pid(executor: SandboxExecutor) -> int:
    assert eventually(lambda: executor._connection.pid is not None)
    pid = executor._connection.pid
    assert pid is not None
    return pid


# --- the interface ---------------------------------------------------------------------------------------------------


def test_it_implements_the_protocol(executor: SandboxExecutor) -> None:
    promised: Executor = executor
    assert promised is executor


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": -1.0},
        {"seconds": "5"},
        {"memory_mb": 0},
        {"output_limit": -5},
        {"concurrency": 1.5},
        {"code_limit": True},
    ],
)
def test_config_refuses_values_that_are_no_limit(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"SandboxConfig.{next(iter(wrong))} must be"):
        SandboxConfig(**wrong)  # type: ignore[arg-type]


def test_a_step_prints(executor: SandboxExecutor) -> None:
    execution = run(executor, "x = 160 * 30 / 100\nprint(x)")
    assert (execution.output, execution.error) == ("48.0\n", None)
    assert execution.snapshot is not None
    assert execution.seconds > 0


def test_only_the_new_steps_output_comes_back(executor: SandboxExecutor) -> None:
    outputs = [execution.output for execution in run_steps(executor, "print('a')", "print('b')", "print('c')")]
    assert outputs == ["a\n", "b\n", "c\n"]


def test_a_last_expression_shows_as_in_a_notebook(executor: SandboxExecutor) -> None:
    assert run(executor, "x = 4\nx * 2").output == "8\n"
    assert run(executor, "'a' + 'b'").output == "'ab'\n"
    assert run(executor, "None").output == ""
    assert run(executor, "print('a')\n5").output == "a\n"


def test_code_without_statements_keeps_the_state(executor: SandboxExecutor) -> None:
    executions = run_steps(executor, "x = 3", "", "# Step 2: nothing to compute\n\n", "print(x)")
    assert [execution.error for execution in executions] == [None] * 4
    assert executions[-1].output == "3\n"


def test_unknown_snapshots_and_closed_interpreters_are_said(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> None:
        with pytest.raises(TreestarError, match="Snapshot 7 does not belong"):
            await interpreter.run("1", Snapshot(7))
        await interpreter.close()
        with pytest.raises(TreestarError, match="interpreter is closed"):
            await interpreter.run("1", None)

    with_interpreter(executor, use)


# --- state -----------------------------------------------------------------------------------------------------------


def test_functions_classes_and_imports_live_on(executor: SandboxExecutor) -> None:
    box = "class Box:\n    def __init__(self, n):\n        self.n = n\n"
    first = "import math\n" + box + "def area(b):\n    return math.pi * b.n"
    assert run_steps(executor, first, "b = Box(2)", "print(round(area(b), 3))")[-1].output == "6.283\n"


def test_siblings_and_parents_do_not_see_each_others_changes(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> list[str]:
        parent = (await interpreter.run("items = [1]\nnested = {'a': [1]}", None)).snapshot
        children = [
            await interpreter.run(f"items.append({n})\nnested['a'].append({n})\nprint(items, nested)", parent)
            for n in (2, 3)
        ]
        grandchild = await interpreter.run("items.clear()\nprint(items, nested)", children[0].snapshot)
        again = await interpreter.run("print(items, nested)", parent)
        return [execution.output for execution in (*children, grandchild, again)]

    assert with_interpreter(executor, use) == [
        "[1, 2] {'a': [1, 2]}\n",
        "[1, 3] {'a': [1, 3]}\n",
        "[] {'a': [1, 2]}\n",
        "[1] {'a': [1]}\n",
    ]


def test_interpreters_do_not_see_each_other(executor: SandboxExecutor) -> None:
    assert run(executor, "secret = 5").error is None
    assert (run(executor, "print(secret)").error or "").startswith("NameError: name 'secret' is not defined")


def test_random_numbers_hashes_and_addresses_are_the_same_in_every_run(executor: SandboxExecutor) -> None:
    steps = (
        "import random\nimport numpy as np\na = [random.random(), np.random.rand(), random.Random().random()]",
        "print(a, random.random(), {'x', 'y', 'z', 'w'}, lambda: 0, np.random.default_rng().random())",
    )
    outputs = {run_steps(executor, *steps)[-1].output for _ in range(3)}
    assert len(outputs) == 1
    assert "at 0x0>" in outputs.pop()


def test_a_result_may_not_depend_on_the_clock(executor: SandboxExecutor) -> None:
    error = run(executor, "from datetime import date\nprint(date.today())").error
    assert error == (
        "NotAllowed: 'today' may not be used in a step: its result would depend on when it runs "
        "(line 2: `print(date.today())`)"
    )


NUMBERS = st.integers(-3, 9)
NAMES = st.sampled_from("abc")
EXPRESSIONS = st.recursive(
    NUMBERS.map(str) | NAMES,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=4,
)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, EXPRESSIONS),
    st.builds("{} += {}".format, NAMES, EXPRESSIONS),
    st.builds("items.append({})".format, EXPRESSIONS),
    st.builds("items[0] -= {}".format, EXPRESSIONS),
    st.builds("box.n += {}".format, EXPRESSIONS),
    st.builds("table[{}] = table.get({}, 0) + 1".format, EXPRESSIONS, NUMBERS),
    st.builds("for i in range({}):\n    {} += i".format, NUMBERS, NAMES),
    st.builds("def f(x, y={}):\n    return x * y + {}".format, NUMBERS, NAMES),
    st.builds("{} = f({})".format, NAMES, EXPRESSIONS),
    st.builds("{} = sum(i for i in items if i > {})".format, NAMES, NUMBERS),
    st.builds("{0}, {1} = {1}, {0}".format, NAMES, NAMES),
    st.builds("print({}, items, table, box.n, f'{{a}} {{b:>3}}')".format, EXPRESSIONS),
)
PRELUDE = """
a, b, c, items, table = 1, 2, 3, [1], {}
class Box:
    n = 0
box = Box()
def f(x):
    return x
"""


@settings(max_examples=40, deadline=None)
@given(statements=st.lists(STATEMENTS, min_size=1, max_size=8), data=st.data())
def test_a_program_cut_into_steps_prints_what_it_prints_whole(
    executor: SandboxExecutor, statements: list[str], data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(1, len(statements))), label="cuts")
    bounds = [0, *sorted(cuts), len(statements)]
    steps = ["\n".join(statements[start:end]) for start, end in itertools.pairwise(bounds)]
    executions = run_steps(executor, PRELUDE, *steps)
    output, failure = plain_output("\n".join([PRELUDE, *statements]))
    assert "".join(execution.output for execution in executions) == output
    assert (executions[-1].error or "").partition(":")[0] == (failure or "")


# --- the language ----------------------------------------------------------------------------------------------------

PROGRAMS = r"""
x = [1, 2, 3]; x[0] += 5; x[1:3] = [9]; del x[0]; print(x)
---
a, (b, *c) = 1, (2, 3, 4); print(a, b, c, {**{'k': 1}, 'j': 2}, [*c])
---
from collections import Counter, defaultdict, deque, namedtuple
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
    case int(n): print(n)
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


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("y = 0\nx = 1 / y", "ZeroDivisionError: division by zero (line 2: `x = 1 / y`)"),
        ("x = = 2", "SyntaxError: invalid syntax (line 1: `x = = 2`)"),
        ("print(a)", "NameError: name 'a' is not defined (line 1: `print(a)`)"),
        ("raise SystemExit", "SystemExit (line 1: `raise SystemExit`)"),
        ("assert 1 == 2, 'no'", "AssertionError: no (line 1: `assert 1 == 2, 'no'`)"),
        ("import math\nmath.a", "AttributeError: module 'math' has no attribute 'a' (line 2: `math.a`)"),
        ("from math import a", "ImportError: cannot import name 'a' from 'math' (line 1: `from math import a`)"),
        ("x = 1\nopen('a')", "NotAllowed: 'open' may not be used in a step (line 2: `open('a')`)"),
        (
            "x = 1\ny = x.__dict__",
            "NotAllowed: the attribute '__dict__' may not be used: it starts with two underscores "
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
    assert error.startswith("ImportError: 'os' cannot be imported in a step; these can: bisect, ")
    assert "sympy" in error


def test_text_that_no_file_can_hold_is_escaped(executor: SandboxExecutor) -> None:
    assert run(executor, r"print('\ud800')").output == "\\ud800\n"
    assert "SyntaxError" in (run(executor, "x = '\x00'").error or "")
    assert run(executor, "x = '\ud800'").error is not None


@pytest.mark.parametrize(
    "code",
    ["(" * 5000, "x = " + "-" * 100_000 + "1", "[" * 250 + "]" * 250, "lambda: " * 3000 + "1", "not " * 30_000 + "x"],
    ids=["parentheses", "signs", "brackets", "lambdas", "nots"],
)
def test_code_that_is_hard_to_parse_fails_in_its_own_process(executor: SandboxExecutor, code: str) -> None:
    assert run(executor, code).error is not None
    assert run(executor, "print(1)").output == "1\n"


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_step_that_runs_too_long_is_stopped(executor: SandboxExecutor) -> None:
    started = time.monotonic()
    execution = run(executor, "while True:\n    pass")
    assert execution.error == "TimeoutError: the step ran longer than 2 seconds and was stopped"
    assert time.monotonic() - started < 4


def test_the_deadline_of_a_step_does_not_count_the_steps_before_it(executor: SandboxExecutor) -> None:
    slow = "n = 0\nwhile n < {}:\n    n += 1"
    turns = 200_000
    while run(executor, slow.format(turns)).seconds < 0.7:
        turns = turns * 3 // 2
    executions = run_steps(executor, *[slow.format(turns)] * 3)
    assert [execution.error for execution in executions] == [None] * 3


def test_output_past_the_limit_is_cut_and_marked(executor: SandboxExecutor) -> None:
    execution = run(executor, "for i in range(1000):\n    print('a' * 100)")
    assert execution.error is None
    assert len(execution.output) < 2100
    assert execution.output.endswith("[output cut after 2000 characters]\n")


def test_memory_past_the_limit_is_refused(executor: SandboxExecutor) -> None:
    assert (run(executor, "x = [0] * 10**9").error or "").startswith("MemoryError")
    assert run(executor, "print('a' * (1 << 30))").error is not None
    assert run(executor, "x = [0] * 10**6\nprint(len(x))").output == "1000000\n"


def test_code_past_the_limit_is_refused(executor: SandboxExecutor) -> None:
    assert run(executor, "x = 1\n" * 20_000).error == "ValueError: the step's code is longer than 65536 characters"


@linux
def test_a_running_step_has_no_powers(executor: SandboxExecutor) -> None:
    zygote = zygote_pid(executor)

    async def use(interpreter: SandboxInterpreter) -> None:
        running = asyncio.create_task(interpreter.run("while True: pass", None))
        while not children(zygote):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        (child,) = children(zygote)
        with open(f"/proc/{child}/limits") as limits:
            by_name = {line[:26].strip(): line[26:].split()[0] for line in limits}
        with open(f"/proc/{child}/status") as status:
            facts = {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
        assert by_name["Max file size"] == by_name["Max core file size"] == by_name["Max processes"] == "0"
        assert facts["NoNewPrivs"] == "1"
        assert os.getuid() != 0 or facts["Uid"].split() == ["65534"] * 4
        with contextlib.suppress(PermissionError):
            assert sorted(map(int, os.listdir(f"/proc/{child}/fd"))) == [0, 1, 2, 3]
        assert (await running).error is not None
        assert children(zygote) == []

    with_interpreter(executor, use)


@linux
def test_the_sandbox_does_not_inherit_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    executor = SandboxExecutor()
    with open(f"/proc/{zygote_pid(executor)}/environ") as environment:
        assert "sk-secret" not in environment.read()
    asyncio.run(executor.close())


# --- many at a time --------------------------------------------------------------------------------------------------


def test_many_runs_at_a_time_keep_their_results_apart(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> None:
        root = (await interpreter.run("base = 100", None)).snapshot
        executions = await asyncio.gather(*(interpreter.run(f"print(base + {n})", root) for n in range(60)))
        assert [execution.output for execution in executions] == [f"{100 + n}\n" for n in range(60)]

    with_interpreter(executor, use)


def test_threads_with_loops_of_their_own_share_an_executor(executor: SandboxExecutor) -> None:
    outputs: dict[int, list[str]] = {}

    def work(number: int) -> None:
        steps = [f"x = {number}", *["x += 1"] * 3, "print(x)"]
        outputs[number] = [execution.output for execution in run_steps(executor, *steps)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: printed[-1] for number, printed in outputs.items()} == {n: f"{n + 3}\n" for n in range(6)}


def test_a_cancelled_run_makes_room_at_once() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(seconds=60, concurrency=1))
        interpreter = await executor.open()
        await interpreter.run("1", None)
        endless = [asyncio.create_task(interpreter.run("while True: pass", None)) for _ in range(2)]
        await asyncio.sleep(0.2)
        for task in endless:
            task.cancel()
        await asyncio.gather(*endless, return_exceptions=True)
        execution = await asyncio.wait_for(interpreter.run("print(1)", None), 10)
        assert execution.output == "1\n"
        await executor.close()

    asyncio.run(body())


# --- processes that die ----------------------------------------------------------------------------------------------


@linux
def test_a_killed_zygote_is_replaced_and_running_steps_are_run_again(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> None:
        parent = (await interpreter.run("x = 1", None)).snapshot
        os.kill(zygote_pid(executor), signal.SIGKILL)
        assert (await interpreter.run("print(x)", parent)).output == "1\n"
        zygote = zygote_pid(executor)
        running = asyncio.create_task(interpreter.run("n = 0\nwhile n < 3 * 10**6: n += 1\nprint(n)", parent))
        while not children(zygote):
            await asyncio.sleep(0.02)
        worker = children(zygote)
        os.kill(zygote, signal.SIGKILL)
        assert (await running).output == "3000000\n"
        assert eventually(lambda: not any(map(alive, worker)))

    with_interpreter(executor, use)


@linux
def test_closing_leaves_no_process_and_ends_what_runs() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(seconds=60))
        interpreter = await executor.open()
        await interpreter.run("1", None)
        zygote = zygote_pid(executor)
        running = asyncio.create_task(interpreter.run("while True: pass", None))
        while not children(zygote):
            await asyncio.sleep(0.02)
        worker = children(zygote)
        await executor.close()
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await running
        assert not any(map(alive, [zygote, *worker]))
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await interpreter.run("1", None)
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await executor.open()
        await executor.close()

    asyncio.run(body())


@linux
def test_an_executor_that_is_forgotten_ends_its_process() -> None:
    executor = SandboxExecutor()
    zygote = zygote_pid(executor)
    del executor
    assert eventually(lambda: not alive(zygote))


ENGINE = """
import asyncio
from treestar.verifier.sandbox import SandboxConfig, SandboxExecutor

async def main():
    executor = SandboxExecutor(SandboxConfig(seconds=600, concurrency=2))
    interpreter = await executor.open()
    await interpreter.run("1", None)
    print(executor._connection.pid, flush=True)
    await asyncio.gather(*(interpreter.run("while True: pass", None) for _ in range(2)))

asyncio.run(main())
"""


@linux
def test_killing_the_engine_takes_everything_with_it() -> None:
    engine = subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    zygote = int(engine.stdout.readline())
    assert eventually(lambda: len(children(zygote)) == 2)
    processes = [zygote, *children(zygote)]
    engine.kill()
    engine.wait()
    engine.stdout.close()
    assert eventually(lambda: not any(map(alive, processes)))


def test_an_engine_that_ends_without_closing_ends_promptly() -> None:
    code = "from treestar.verifier.sandbox import SandboxExecutor; executor = SandboxExecutor()"
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert time.monotonic() - started < 10


def test_a_sandbox_that_cannot_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    executor = SandboxExecutor()
    with pytest.raises(TreestarError, match="could not be started"):
        run(executor, "1")
    asyncio.run(executor.close())


def test_a_sandbox_that_starts_too_slowly_says_what_to_do() -> None:
    executor = SandboxExecutor(SandboxConfig(start_seconds=0.001))
    with pytest.raises(TreestarError, match="start_seconds"):
        run(executor, "1")
    asyncio.run(executor.close())


# --- the protocol ----------------------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_survive_any_cutting(sizes: list[int]) -> None:
    sent = [{"id": 1, "code": "x\n"}, {"reply": "é\ud800"}, {}]
    data = b"".join(map(encode, sent))
    buffer = FrameBuffer()
    received = []
    for size in sizes * (len(data) // sum(sizes) + 1):
        received += buffer.feed(data[:size])
        data = data[size:]
    assert received == sent


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x01x",
        b"\x00\x00\x00\x01\xff",
        b"\x00\x01\x00\x00" + b"[" * 65536,
    ],
    ids=["too long", "a list", "no JSON", "no UTF-8", "nested"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        FrameBuffer().feed(data)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "answered", "reply": "[1]"},
        {"status": "answered", "reply": '{"output": 5, "error": null}'},
        {"status": "answered", "reply": '{"output": "", "error": []}'},
        {"status": "answered", "reply": "\ud800"},
        {"status": "answered", "reply": 7},
        {"status": "died", "reply": ""},
        {},
    ],
)
def test_a_forged_reply_is_an_error_of_the_step(executor: SandboxExecutor, answer: dict[str, object]) -> None:
    assert executor._read(answer).error == "RuntimeError: the step's process ended early"
