"""The verifier for problems of kind `code`: runs a program's tests (HumanEval; Chen et al. 2021).

Program and tests run through an `Executor`, never in this process. Tests of a function run in the state that the
program leaves; they pass if an error with a nonce, which the program cannot know, follows the last test. A whole
program runs once for each test, in a process of its own, and what it printed is compared here.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from treestar.types import Execution, Executor, Problem, ProgramRunner, TreestarError
from treestar.verifier.programs.proposed import program_in
from treestar.verifier.programs.tests import (
    MIB,
    FunctionTests,
    ProgramTests,
    StreamTests,
    entry_point_of,
    public_tests_of,
    same_output,
    tests_of,
)

__all__ = ["UnitTestVerifier", "candidate_program"]

LONGEST_SHOWN = 200
"""In characters: an output in an error."""


class UnitTestVerifier:
    """Implements `Verifier` for problems with tests (see `tests`)."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether the program `answer` passes the problem's tests.

        Raises:
            TreestarError: the problem has no tests, or the executor cannot run programs of its kind.
        """
        return (await self.run_tests(problem, answer)).error is None

    async def run_tests(self, problem: Problem, program: str) -> Execution:
        """The execution of the tests, up to the first that fails; its error is the reason why the program does not
        pass. Raises like `accepts`."""
        return await self.run(problem, program, tests_of(problem))

    async def passes_public_tests(self, problem: Problem, program: str) -> bool:
        """Whether the program passes the tests that the problem shows; True if it shows none. Raises like `accepts`."""
        tests = public_tests_of(problem)
        return tests is None or (await self.run(problem, program, tests)).error is None

    async def run(self, problem: Problem, program: str, tests: ProgramTests) -> Execution:
        if isinstance(tests, FunctionTests):
            return await self.run_function(program, tests)
        if not isinstance(self.executor, ProgramRunner):
            raise TreestarError(
                f"problem {problem.id!r} asks for a whole program, which {type(self.executor).__name__} cannot run: "
                "use a SandboxExecutor"
            )
        return await self.run_streams(self.executor, problem, program, tests)

    async def run_function(self, program: str, tests: FunctionTests) -> Execution:
        interpreter = await self.executor.open()
        try:
            loaded = await interpreter.run(program, None)
            if loaded.error is not None:
                return loaded
            nonce = secrets.token_hex(8)  # in an error, because what the program prints may fill the output
            tested = await interpreter.run(f"{tests.source}\nassert False, {nonce!r}\n", loaded.snapshot)
        finally:
            await interpreter.close()
        if tested.error is None:
            return Execution(tested.output, "RuntimeError: the tests ended before the last of them")
        passed = tested.error.startswith(f"AssertionError: {nonce}")
        return replace(tested, error=None) if passed else tested

    async def run_streams(
        self, executor: ProgramRunner, problem: Problem, program: str, tests: StreamTests
    ) -> Execution:
        execution = Execution()
        for number, test in enumerate(tests.tests, start=1):
            execution = await executor.run_program(program, test.input, tests.seconds)
            failure = execution.error
            if failure is None and tests.memory is not None and execution.peak_memory > tests.memory:
                used, limit = execution.peak_memory / MIB, tests.memory / MIB
                failure = f"MemoryError: the program used {used:.0f} MiB, and {limit:g} MiB are allowed"
            if failure is None and not same_output(execution.output, test.output):
                printed, wanted = shown(execution.output), shown(test.output)
                failure = f"AssertionError: it printed {printed}, and {wanted} is right"
            if failure is not None:
                return Execution(execution.output, f"test {number}: {failure}", None, execution.seconds)
        return execution

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two programs are identical texts; equivalence of programs is undecidable."""
        return first.strip() == second.strip()


def shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "...")


def candidate_program(problem: Problem, code: str, text: str) -> str:
    """The program that a trajectory of a format with tags proposes.

    Args:
        code: the code of all its steps, joined.
        text: the full text of the trajectory.

    Returns:
        The program in the code, else the one in the text; else the code (or text) after the question, if that is the
        head of a function.
    """
    found = program_in(problem, code) or program_in(problem, text)
    if found is not None:
        return found
    head = problem.question if entry_point_of(problem) is not None else ""
    return head + (code or text)
