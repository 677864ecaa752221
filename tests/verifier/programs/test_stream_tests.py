"""Whole programs against what they should print: right, wrong, slow, crashing and memory-hungry ones, in the jail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from support.paths import DATA
from support.scripted import ScriptedExecutor

from treestar.benchmarks.datasets import load_problems
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.types import Execution, Problem, TreestarError
from treestar.verifier.programs.unit_tests import UnitTestVerifier

TEN = DATA / "programs" / "ten_problems.jsonl"
PROGRAMS = {record["id"]: record["programs"] for record in map(json.loads, TEN.read_text().splitlines())}

FAILURES = {
    "wrong": ("AssertionError",),
    "slow": ("TimeoutError",),
    "crashing": ("Error", "SystemExit"),
    "hungry": ("MemoryError", "TimeoutError"),  # on a busy machine time can end before the memory does
}


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0))
    yield made
    asyncio.run(made.close())


def judged(executor: SandboxExecutor, problem: Problem, programs: list[str]) -> list[Execution]:
    async def main() -> list[Execution]:
        verifier = UnitTestVerifier(executor)
        return list(await asyncio.gather(*(verifier.run_tests(problem, program) for program in programs)))

    return asyncio.run(main())


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_judged_right(executor: SandboxExecutor, name: str) -> None:
    [problem] = [each for each in load_problems(f"jsonl:{TEN}").problems if each.id == name]
    labeled = [(label, program) for label, programs in PROGRAMS[name].items() for program in programs]
    assert {label for label, _ in labeled} == {"right", *FAILURES}
    for (label, program), execution in zip(
        labeled, judged(executor, problem, [program for _, program in labeled]), strict=True
    ):
        if label == "right":
            assert execution.error is None, program
        else:
            assert execution.error is not None, program
            assert any(word in execution.error for word in FAILURES[label]), (label, program, execution.error)
            if label == "crashing":
                assert not any(word in execution.error for word in ("AssertionError", "TimeoutError", "MemoryError"))


ECHO = Problem(
    "Print what you read.", id="echo", kind="code", metadata={"tests": [{"input": "a\r\nb\n", "output": "a\nb"}]}
)


@pytest.mark.parametrize(
    "program",
    [
        "print(input())\nprint(input())",
        "import sys\nfor line in sys.stdin:\n    print(line.strip(), end='   \\n')\n",
        "import sys\nread = sys.stdin.readline\nprint(read() + read())",
        "import sys\nsys.stdout.write(sys.stdin.buffer.read().decode())",
        "from sys import *\nprint('', file=stderr)\nprint(*stdin.readlines(), sep='', file=stdout)",
        "print(open(0).read() + '\\n\\n')",
        "with open(0) as lines:\n    for line in lines:\n        print(line.strip())",
        "def main():\n    print('a\\nb')\n    return 7\n\nmain()",
        "print('a')\nprint('b')\nexit()\nprint('c')",
        "import sys\nprint('a\\nb')\nsys.exit(0)",
    ],
)
def test_programs_read_and_write_in_all_the_usual_ways(executor: SandboxExecutor, program: str) -> None:
    [execution] = judged(executor, ECHO, [program])
    assert execution.error is None


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("print('a')\nprint(' b')", "AssertionError"),
        ("print('a b')", "AssertionError"),
        ("open('secret')", "NotAllowed"),
        ("open(0, 'w')", "NotAllowed"),
        ("import os", "ImportError"),
        ("import sys\nsys.stdin._content", "NotAllowed"),
        ("import sys\nsys.stdin = None", "NotAllowed"),
        ("import sys\ntype(sys.stdin)('text')", "NotAllowed"),
        ("import sys\nclass Own(type(sys.stdout)):\n    pass", "NotAllowed"),
        ("print('a', file=open)", "NotAllowed"),
        ("input()\ninput()\ninput()", "EOFError"),
        ("raise SystemExit('no')", "SystemExit"),
        ("print('a'", "SyntaxError"),
    ],
)
def test_what_fails_says_why(executor: SandboxExecutor, program: str, error: str) -> None:
    [execution] = judged(executor, ECHO, [program])
    assert (execution.error or "").startswith(f"test 1: {error}")


def test_a_step_still_has_no_input(executor: SandboxExecutor) -> None:
    async def main() -> list[Execution]:
        interpreter = await executor.open()
        executions = [await interpreter.run(code, None) for code in ("input()", "import sys\nsys.stdin", "exit()")]
        await interpreter.close()
        return executions

    assert all("NotAllowed" in (execution.error or "") for execution in asyncio.run(main()))


def test_programs_without_the_restricted_language_have_the_streams_too() -> None:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, restricted=False))
    programs = [
        "import sys, os\nprint(input())\nprint(sys.stdin.readline(), file=sys.stdout)\nprint('x', file=sys.stderr)",
        "import sys\nsys.stdout.write(sys.stdin.read())\nsys.exit()",
        "print('a')",
    ]
    try:
        executions = judged(made, ECHO, programs)
    finally:
        asyncio.run(made.close())
    assert [execution.error is None for execution in executions] == [True, True, False]


def test_one_run_leaves_nothing_to_the_next(executor: SandboxExecutor) -> None:
    async def main() -> list[Execution]:
        return [await executor.run_program(program, "") for program in ("x = 1\nprint(x)", "print(x)")]

    first, second = asyncio.run(main())
    assert (first.output, first.error, first.snapshot) == ("1\n", None, None)
    assert "NameError" in (second.error or "")


def test_an_executor_that_runs_only_steps_cannot_judge_whole_programs() -> None:
    verifier = UnitTestVerifier(ScriptedExecutor())
    with pytest.raises(TreestarError, match="asks for a whole program, which ScriptedExecutor cannot run"):
        asyncio.run(verifier.run_tests(ECHO, "print(1)"))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tests": []},
        {"tests": [1]},
        {"tests": [{"input": "1"}]},
        {"tests": "def check(f): pass"},
        {"tests": [{"input": "", "output": ""}], "time_limit": 0},
        {"tests": [{"input": "", "output": ""}], "memory_limit": "64 MB"},
    ],
)
def test_tests_of_no_known_form_are_an_error(metadata: dict[str, object], executor: SandboxExecutor) -> None:
    with pytest.raises(TreestarError, match="problem 'odd'"):
        judged(executor, Problem("?", id="odd", kind="code", metadata=metadata), ["print(1)"])
