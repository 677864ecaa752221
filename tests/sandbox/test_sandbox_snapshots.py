"""A step gives the same as running its whole path in a fresh interpreter, whatever its siblings did.

Random trees of steps run in one worker, which copies namespaces and repeats paths as it chooses. Every path is then
run as one program in a worker that has run nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sandbox_support import run_steps, with_interpreter

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.sandbox.frames import Frame
from treestar.types import Execution


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0))
    yield made
    asyncio.run(made.close())


class Kind(NamedTuple):
    """Statements about one kind of object; `first` prepares for them."""

    first: str
    then: list[str]


KINDS = {
    "aliases": Kind(
        "a = [1, 2]; b = a; c = [a, a]; d = {'k': a, 'n': {'m': a}}; t = (a, 1); a2 = a[:]",
        [
            "a.append(len(a))",
            "b[0] += 10",
            "c[0].append('x'); print(c[0] is c[1], c[0] is a)",
            "d['n']['m'].pop(); d['j'] = b",
            "b = b + [0]",
            "c.append(c); print(len(c[-1]))",
            "t[0].insert(0, 7)",
            "push = a.append",
            "push(5)",
            "print(a, b, d, t, a2, a is b, t[0] is a)",
        ],
    ),
    "functions": Kind(
        "total = 1\ndef f(x, k=[0]):\n    global total\n    total += x; k[0] += 1\n    return total + k[0]",
        [
            "print(f(2), total)",
            "total = 10",
            "def f(x):\n    return x + total",
            "g = f; table = {'f': f, 'l': lambda x: x * total}",
            "print(g(1), table['l'](3))",
            "def twice(h):\n    return lambda x: h(h(x)) + total\nfs = [twice(f)]",
            "print(fs[0](1))",
            "f.calls = getattr(f, 'calls', 0) + 1; print(f.calls)",
            "from functools import partial\np = partial(f, 3); print(p(), list(map(p.func, [1, total])))",
        ],
    ),
    "closures": Kind(
        "def counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += step\n        return n\n    "
        "def read():\n        return n\n    return up, read\nstep = 1\nup, read = counter()",
        [
            "print(up(), read())",
            "step += 1",
            "up2, read2 = counter(); print(up2(), up())",
            "pair = (up, [read]); print(pair[1][0]())",
            "read = up",
            "from functools import lru_cache\n@lru_cache(None)\ndef memo(n):\n    return n + step",
            "print(memo(1), memo(2))",
        ],
    ),
    "classes": Kind(
        "class A:\n    made = 0; items = []\n    def __init__(self, x):\n        self.x = x; A.made += 1\n    "
        "def __repr__(self):\n        return f'A({self.x}, {self.made}, {self.items})'\no = A(1); q = [o, o]",
        [
            "o.x += 1; q[1].x *= 2",
            "A.items.append(o.x)",
            "print(o, q[0] is o, A.made)",
            "q.append(A(len(q)))",
            "class B(A):\n    def __init__(self, x):\n        super().__init__(x + 1)\nq.append(B(5))",
            "from dataclasses import dataclass\n@dataclass\nclass D:\n    v: int = 0\ne = D(3)",
            "e.v += 1; print(e)",
            "A.more = lambda self: self.x\nprint(o.more())",
            "class E(Exception):\n    pass\ntry:\n    raise E('!')\nexcept E as caught:\n    kept = caught",
            "print(type(kept).__name__, kept)",
        ],
    ),
    "bare classes": Kind(
        "class A:\n    items = []\n    def add(self):\n        A.items.append(scale); return len(A.items)\n"
        "A.made = 0; scale = 2",
        [
            "A.items.append(scale)",
            "print(A().add(), A.items, A.made)",
            "A.made += 1; scale += A.made",
            "class B(A): pass",
        ],
    ),
    "scopes": Kind(
        "i = 7; rows = [[i * j for j in range(3)] for i in range(3)]; it = iter(rows); "
        "gen = (x for r in rows for x in r)",
        [
            "print(next(it, None), next(gen, None))",
            "rows[0][0] += 5; rows[i % 3].append(i)",
            "i += 1; print(i, [i for i in range(2)], {i: j for i, j in zip('ab', (1, 2))}, i)",
            "def run():\n    n = yield 1\n    while True:\n        n = yield n\nco = run(); print(next(co))",
            "print(co.send(i))",
            "z = zip(rows, range(9)); print(next(z))",
            "print(list(z)[:1], sum(gen))",
            "from itertools import count\nticks = count(i); print(next(ticks))",
            "print(next(ticks), rows)",
        ],
    ),
    "sets": Kind(
        "s = {x * 7 % 31 for x in range(9)}; w = set('reproducible'); fz = frozenset(s)",
        [
            "s.add(100 + len(s)); print(s)",
            "print(s.pop(), s)",
            "s -= {7, 14, 21}; w |= set('order')",
            "w.discard('e'); w.add('zz'); print(w, list(w)[:2])",
            "s ^= {1, 2, 3}; s |= set(range(40, 60, 3)); print(s, fz)",
            "s2 = s; s2.add(-1); print(s, s is s2)",
            "w.clear(); w.update('abc'); print(w)",
            "m = {frozenset(w): s, (1, 2): [3]}; m[(1, 2)].append(len(s)); print(m[(1, 2)], len(m))",
        ],
    ),
    "collections": Kind(
        "from collections import *\nq5 = deque([1, 2], maxlen=3); n = Counter('abca'); dd = defaultdict(list); "
        "od = OrderedDict(x=1, y=2)",
        [
            "q5.append(len(q5) + 7); print(q5)",
            "n.update('cd'); n['a'] -= 1; print(n.most_common(2), n['q'])",
            "dd[len(dd)].append(dd); print(len(dd[0]))",
            "od.move_to_end('x'); od['z'] = q5; print(list(od), od['z'] is q5)",
            "dd['k'].append(n); dd['k'][0]['!'] += 1; print(n['!'])",
            "P = namedtuple('P', 'x y'); p = P(1, [2]); p.y.append(3); print(p)",
            "by = bytearray(b'ab'); by += b'c'; print(by)",
        ],
    ),
    "sympy": Kind(
        "from sympy import *\nx, y = symbols('x y'); n = Symbol('n', positive=True); e = (x + y)**2; "
        "M = Matrix([[1, x], [y, 2]])",
        [
            "e = expand(e * (x - n)); print(e)",
            "M[0, 0] += n; print(M, M.det())",
            "N2 = M; N2[1, 1] = 9; print(M, M is N2)",
            "k = Dummy('k'); k2 = Dummy(); print(k == Dummy('k'), srepr(k), srepr(k2))",
            "print(sqrt(n**2), sqrt(x**2), solve(x**2 - n, x))",
            "x = Symbol('x', integer=True); print(sin(x * pi), e.subs(y, 2))",
            "F = Function('F'); g = F(x) + n; print(g.diff(x), g.has(F))",
            "print(ask(Q.positive(n)), simplify(Abs(n) - n), e.free_symbols == {x, y, n})",
            "h = lambdify(y, y**2 + 1); print(h(3))",
            "print(h(4) if 'h' in 'h' else 0, e.args[0], nsolve(cos(y) - y, y, 1))",
            "from sympy.core.random import random as srandom, seed\nprint(srandom())",
            "global_assumptions.add(Q.prime(y)); print(len(global_assumptions))",
        ],
    ),
    "numpy": Kind(
        "import numpy as np\nv = np.arange(12).reshape(3, 4); r = v[1]; col = v[:, ::2]; alone = v.copy(); tr = v.T",
        [
            "r[0] += 100; print(v)",
            "col *= 2; print(v.sum(), r, tr[0])",
            "v = v + 1; print(v[0, 0], r.base is not None)",
            "alone[alone > 3] = -1; print(alone, np.shares_memory(v, r))",
            "np.set_printoptions(precision=2); print(np.array([1 / 3]), col.flags.writeable)",
            "print(np.random.rand(), np.random.normal())",
            "rng = np.random.default_rng(3); rng2 = rng; print(rng.random())",
            "print(rng.integers(100), rng2.integers(100), rng is rng2)",
            "old = np.seterr(all='raise'); print(sorted(old.items())[0])",
            "print(np.float64(1) / np.float64(0))",
            "f32 = np.asfortranarray(v)[::-1]; f32[0] = 4; print(f32, v)",
            "objects = np.array([[1], [2, 3]], dtype=object); objects[0].append(9); print(objects)",
        ],
    ),
    "state": Kind(
        "import random, statistics\nfrom decimal import *\nfrom fractions import Fraction\n"
        "ctx = getcontext(); own = random.Random(4)",
        [
            "print(random.random(), random.gauss(0, 1))",
            "random.seed(5); print(random.randint(1, 99))",
            "print(own.random(), random.sample(range(50), 3))",
            "getcontext().prec = 6; print(Decimal(1) / 7, ctx.prec)",
            "ctx.prec += 1; print(Decimal(2) / 3, getcontext() is ctx)",
            "with localcontext() as inner:\n    inner.prec = 3; print(Decimal(1) / 7)",
            "setcontext(Context(prec=9)); print(getcontext().prec, ctx.prec)",
            "print(statistics.NormalDist(0, 1).samples(2), Fraction(3, 9))",
            "ctx = getcontext(); rnd = random.choice; print(rnd([1, 2, 3, 4]))",
        ],
    ),
}


COPIED = [
    "a = [1, [2]]; b = {'k': a}; t = (a, {1: {2}}); s = {3}; z = None; f = 1.5; g = 2 + 1j; h = range(3)",
    "n = 2\ndef f(x, k=[1]):\n    return x + n\ng = lambda y: f(y); h = {'f': f}",
    "def outer(k):\n    return lambda x: x + k\nh = [outer(1), outer(2)]",
    "from collections import *; c = Counter('ab'); d = deque([1]); e = defaultdict(int); o = OrderedDict(a=1)",
    "from sympy import *; x = symbols('x'); M = Matrix([x]); e = solve(x**2 - 1); F = Function('F')(x); s = {x, pi}",
    "import numpy as np; a = np.arange(6); b = a[::2]; c = a.reshape(2, 3).T; r = np.random.default_rng(1); k = a[2]",
    "from fractions import *; from decimal import *; f = Fraction(1, 3); d = Decimal(2); c = getcontext()",
    "import math, random, re; r = random.Random(1); m = re.match('a', 'a'); q = math.sqrt; k = random.choice",
    "from functools import *; p = partial(pow, 2)\n@lru_cache\ndef f(n):\n    return n",
    "from datetime import *; from typing import *; d = date(2020, 1, 1); t = timedelta(1); L = List[int]",
    "a = [1]; a.append(a); push = a.append; join = ', '.join",
]
REPEATED = [
    "g = (x for x in [1])",
    "i = iter([1])",
    "class A: pass",
    "from functools import cache\n@cache\ndef f(n):\n    return n\nf(1)",
    "s = set(range(9)); s.discard(3)",
    "import numpy as np; a = np.array([[1], [2, 3]], dtype=object)",
    "from sympy import *; x = symbols('x'); f = lambdify(x, x + 1)",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    kept = error",
]


@pytest.mark.parametrize("first", [*COPIED, *REPEATED])
def test_what_is_copied_and_what_is_run_again(executor: SandboxExecutor, first: str) -> None:
    """A worker reports when it runs steps again."""

    async def use(interpreter: SandboxInterpreter) -> int:
        parent = await interpreter.run(first, None)
        assert parent.error is None
        worker = interpreter.worker
        assert worker is not None
        replays = 0
        receive = worker.channel.receive

        async def count(seconds: float) -> Frame:
            nonlocal replays
            frame = await receive(seconds)
            replays += frame.get("replaying") == 1
            return frame

        worker.channel.receive = count  # type: ignore[method-assign]
        for _ in range(2):
            assert (await interpreter.run("pass", parent.snapshot)).error is None
        return replays

    assert with_interpreter(executor, use) == (2 if first in REPEATED else 0)


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[int | None, str]]:
    """Steps in creation order, each with the index of its parent (None: a root). Kinds can be mixed."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=2, unique=True))
    steps: list[tuple[int | None, str]] = [(None, "\n".join(KINDS[kind].first for kind in kinds))]
    statement = st.sampled_from([line for kind in kinds for line in KINDS[kind].then])
    for index in range(1, draw(st.integers(3, 9))):
        lines = draw(st.lists(statement, min_size=1, max_size=3))
        steps.append((draw(st.integers(0, index - 1)), "\n".join(lines)))
    return steps


def path_to(steps: list[tuple[int | None, str]], index: int | None) -> list[str]:
    path = []
    while index is not None:
        index, code = steps[index]
        path.append(code)
    return path[::-1]


async def run_tree(interpreter: SandboxInterpreter, steps: list[tuple[int | None, str]]) -> list[Execution | None]:
    """Run every step after its parent; None for those below a failed step."""
    executions: list[Execution | None] = []
    for parent, code in steps:
        above: Execution | None = Execution() if parent is None else executions[parent]
        runs = above is not None and above.error is None
        executions.append(await interpreter.run(code, above.snapshot) if runs and above is not None else None)
    return executions


def assert_equal_to_fresh_runs(executor: SandboxExecutor, steps: list[tuple[int | None, str]]) -> None:
    executions = with_interpreter(executor, lambda interpreter: run_tree(interpreter, steps))
    assert executions[0] is not None
    assert executions[0].error is None
    outputs: dict[int | None, str] = {None: ""}
    for index, execution in enumerate(executions):
        if execution is None:
            continue
        outputs[index] = outputs[steps[index][0]] + execution.output
        program = "\n".join(path_to(steps, index))
        [whole] = run_steps(executor, program)
        assert outputs[index] == whole.output, program
        assert (execution.error or "").split(" (line")[0] == (whole.error or "").split(" (line")[0], program


@settings(max_examples=30)
@given(steps=trees())
def test_every_step_gives_what_its_whole_path_gives(
    executor: SandboxExecutor, steps: list[tuple[int | None, str]]
) -> None:
    assert_equal_to_fresh_runs(executor, steps)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_statement_after_every_other(executor: SandboxExecutor, kind: str) -> None:
    """Siblings that each change something, and their children, all interleaved in one worker."""
    steps: list[tuple[int | None, str]] = [(None, KINDS[kind].first)]
    steps += [(0, line) for line in KINDS[kind].then]
    for parent in range(1, len(KINDS[kind].then) + 1):
        steps += [(parent, line) for line in KINDS[kind].then[:: 1 + parent % 3]]
    assert_equal_to_fresh_runs(executor, steps)
