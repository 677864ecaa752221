"""The sandbox: the output of steps, the state they see, their limits. Real processes throughout."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sandbox_support import (
    children,
    eventually,
    limits_of,
    linux,
    plain_output,
    run,
    run_steps,
    status_of,
    with_interpreter,
    zygote_pid,
)

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.sandbox.frames import FrameBuffer, FrameError, encode
from treestar.types import Execution, Executor, Snapshot, TreestarError


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, memory_mb=256, output_limit=2000, concurrency=2))
    yield made
    asyncio.run(made.close())


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
    assert run(executor, "print('a')\n5").output == "a\n5\n"
    assert run(executor, "[1][0]\n'no'\nx = 5").output == ""
    assert run(executor, "print('a')").output == "a\n"


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


def test_a_raised_recursion_limit_holds_for_the_steps_after_it_only(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> list[Execution]:
        deep = "def depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)"
        parent = (await interpreter.run(deep, None)).snapshot
        raised = await interpreter.run("import sys\nsys.setrecursionlimit(10**6)\nprint(depth(8000))", parent)
        child = await interpreter.run("print(depth(9000))", raised.snapshot)
        sibling = await interpreter.run("print(depth(8000))", parent)
        return [raised, child, sibling]

    raised, child, sibling = with_interpreter(executor, use)
    assert (raised.output, child.output) == ("8000\n", "9000\n")
    assert (sibling.error or "").startswith("RecursionError")


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


@settings(max_examples=40)
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


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_step_that_runs_too_long_is_stopped(executor: SandboxExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "config", replace(executor.config, seconds=0.5))
    execution = run(executor, "while True:\n    pass")
    assert execution.error == "TimeoutError: the step ran longer than 0.5 seconds and was stopped"


def test_the_deadline_of_a_step_does_not_count_the_steps_before_it(
    executor: SandboxExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many short steps, so that a busy machine does not delay one of them past the deadline."""
    monkeypatch.setattr(executor, "config", replace(executor.config, seconds=2.0))

    async def use(interpreter: SandboxInterpreter) -> None:
        snapshot, together = None, 0.0
        while together < 3.0:
            execution = await interpreter.run("n = 0\nwhile n < 400_000:\n    n += 1", snapshot)
            assert execution.error is None
            snapshot, together = execution.snapshot, together + execution.seconds

    with_interpreter(executor, use)


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
        while not children(zygote) or limits_of(children(zygote)[0])["Max address space"] == "unlimited":
            await asyncio.sleep(0.02)  # the address space is limited last
        (child,) = children(zygote)
        by_name, facts = limits_of(child), status_of(child)
        assert by_name["Max file size"] == by_name["Max core file size"] == by_name["Max processes"] == "0"
        assert facts["NoNewPrivs"] == "1"
        assert status_of(zygote)["Threads"] == "1"
        assert os.getuid() != 0 or facts["Uid"].split() == ["65534"] * 4
        with contextlib.suppress(PermissionError):
            assert sorted(map(int, os.listdir(f"/proc/{child}/fd"))) == [0, 1, 2, 3]
        await interpreter.close()
        with pytest.raises(TreestarError, match="interpreter is closed"):
            await running
        assert eventually(lambda: not children(zygote))

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
        execution = await asyncio.wait_for(interpreter.run("print(1)", None), 50)
        assert execution.output == "1\n"
        await executor.close()

    asyncio.run(body())


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


def test_the_former_name_of_the_sandbox_is_accepted_with_a_warning() -> None:
    sys.modules.pop("treestar.verifier.sandbox", None)
    with pytest.warns(FutureWarning, match=r"`treestar.verifier.sandbox` is now `treestar.sandbox`"):
        former = importlib.import_module("treestar.verifier.sandbox")
    assert former.SandboxExecutor is SandboxExecutor
