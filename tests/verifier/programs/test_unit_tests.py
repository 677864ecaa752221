"""Programs against their tests, in the real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from support.paths import SHARED, needs_shared

from treestar.benchmarks.datasets import load_problems
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.types import Execution, Problem, TreestarError
from treestar.verifier.programs.unit_tests import UnitTestVerifier, candidate_program

ADD = Problem(
    question='import math\n\n\ndef add(a, b):\n    """The sum."""\n',
    answer="    return a + b\n",
    id="add",
    kind="code",
    metadata={
        "entry_point": "add",
        "tests": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
    },
)


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0))
    yield made
    asyncio.run(made.close())


def run_tests(executor: SandboxExecutor, problem: Problem, *programs: str) -> list[Execution]:
    async def main() -> list[Execution]:
        verifier = UnitTestVerifier(executor)
        return [await verifier.run_tests(problem, program) for program in programs]

    return asyncio.run(main())


def test_programs_pass_and_fail_for_what_they_do(executor: SandboxExecutor) -> None:
    programs = {
        ADD.question + "    return a + b\n": None,
        ADD.question + "    return a - b\n": "AssertionError",
        ADD.question + "    return a +\n": "SyntaxError",
        ADD.question + "    return c\n": "NameError",
        ADD.question + "    raise SystemExit\n": "",
        "x = 1\n": "NameError",
        "": "NameError",
    }
    executions = run_tests(executor, ADD, *programs)
    for execution, (program, error) in zip(executions, programs.items(), strict=True):
        if error is None:
            assert execution.error is None, program
        else:
            assert execution.error is not None, program
            assert error in execution.error


def test_a_program_that_does_not_end_fails(executor: SandboxExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "config", SandboxConfig(seconds=0.5))
    [execution] = run_tests(executor, ADD, ADD.question + "    while True: pass\n")
    assert "TimeoutError" in (execution.error or "")


def test_a_program_may_print_more_than_the_output_holds(executor: SandboxExecutor) -> None:
    noisy = ADD.question + "    print('x' * 100_000)\n    return a {} b\n"
    right, wrong = run_tests(executor, ADD, noisy.format("+"), noisy.format("-"))
    assert right.error is None
    assert "AssertionError" in (wrong.error or "")


def test_a_program_cannot_pass_by_defining_the_check_itself(executor: SandboxExecutor) -> None:
    [execution] = run_tests(executor, ADD, "def check(candidate): pass\ndef add(a, b): return 0\n")
    assert execution.error is not None


def test_a_problem_without_tests_is_an_error(executor: SandboxExecutor) -> None:
    with pytest.raises(TreestarError, match="has no tests that a program can be tested on"):
        run_tests(executor, Problem("def f(): ...", kind="code", id="f"), "x = 1")


def test_the_program_is_found_in_what_a_trajectory_wrote(executor: SandboxExecutor) -> None:
    definition = "def add(a, b):\n    return a + b\n"
    wrote = [
        (definition, ""),
        ("", f"Here it is:\n```python\n{definition}```\nDone."),
        ("    return a + b\n", ""),
        ("", "    return a + b\n"),
        ("print(1)", "```\ndef other(): pass\n```\n```python\ndef add(a, b):\n    return math.floor(a + b)\n```"),
    ]
    executions = run_tests(executor, ADD, *(candidate_program(ADD, code, text) for code, text in wrote))
    assert [execution.error for execution in executions] == [None] * len(wrote)


def test_a_definition_among_prose_keeps_its_decorators(executor: SandboxExecutor) -> None:
    reply = (
        "It's quick with a cache:\n\nimport functools\n\n@functools.lru_cache(None)\ndef add(a, b):\n"
        "    return a + b\n\nThat's all."
    )
    program = candidate_program(ADD, "", reply)
    assert program is not None
    assert "@functools.lru_cache(None)\ndef add" in program
    [execution] = run_tests(executor, ADD, program)
    assert execution.error is None


@needs_shared("sets")
@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_humaneval_s_own_solutions_pass_and_empty_ones_do_not(executor: SandboxExecutor, every: int) -> None:
    problems = load_problems("humaneval", SHARED / "sets").problems[::every]

    async def main() -> tuple[set[str], list[str]]:
        verifier = UnitTestVerifier(executor)

        async def judge(problem: Problem) -> tuple[bool, bool]:
            assert problem.answer is not None
            return (
                await verifier.accepts(problem, problem.question + problem.answer),
                await verifier.accepts(problem, problem.question + "    return None\n"),
            )

        verdicts = await asyncio.gather(*map(judge, problems))
        failed = {problem.id for problem, (own, _) in zip(problems, verdicts, strict=True) if not own}
        fooled = [problem.id for problem, (_, empty) in zip(problems, verdicts, strict=True) if empty]
        return failed, fooled

    failed, fooled = asyncio.run(main())
    assert failed == set()
    assert fooled == []
