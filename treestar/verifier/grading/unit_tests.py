"""The verifier for problems of kind `code`: runs a program's tests (HumanEval; Chen et al. 2021).

Program and tests run through an `Executor`, never in this process. The program runs first, then the tests in the
resulting state. They pass if a nonce, which the program cannot know, is printed after the last test.
"""

from __future__ import annotations

import re
import secrets

from treestar.types import Execution, Executor, Problem, TreestarError

__all__ = ["UnitTestVerifier", "candidate_program"]

FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)


class UnitTestVerifier:
    """Implements `Verifier` for problems whose metadata contains `entry_point` and `tests` (a function `check`)."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    async def accepts(self, problem: Problem, answer: str) -> bool:
        """Whether the program `answer` passes the problem's tests.

        Raises:
            TreestarError: the problem has no tests.
        """
        return (await self.run_tests(problem, answer)).error is None

    async def run_tests(self, problem: Problem, program: str) -> Execution:
        """The execution of the tests; its error is the reason why the program does not pass."""
        entry_point, tests = problem.metadata.get("entry_point"), problem.metadata.get("tests")
        if not isinstance(entry_point, str) or not isinstance(tests, str):
            raise TreestarError(
                f"problem {problem.id!r} has no entry_point and tests, so no program can be tested on it"
            )
        interpreter = await self.executor.open()
        try:
            loaded = await interpreter.run(program, None)
            if loaded.error is not None:
                return loaded
            nonce = secrets.token_hex(8)
            tested = await interpreter.run(f"{tests}\n\ncheck({entry_point})\nprint({nonce!r})\n", loaded.snapshot)
        finally:
            await interpreter.close()
        if tested.error is None and not tested.output.rstrip().endswith(nonce):
            return Execution(tested.output, "RuntimeError: the tests ended before the last of them")
        return tested

    async def equivalent(self, first: str, second: str) -> bool:
        """Whether two programs are identical texts; equivalence of programs is undecidable."""
        return first.strip() == second.strip()


def candidate_program(problem: Problem, code: str, text: str) -> str:
    """The program that a trajectory proposes for a problem whose question is the head of a function.

    Args:
        code: the code of all its steps, joined.
        text: the full text of the trajectory.

    Returns:
        The trajectory's code if it defines the function, else the first fenced block that does, else the question with
        the code (or text) as the function's body.
    """
    definition = re.compile(rf"^\s*def\s+{re.escape(str(problem.metadata.get('entry_point')))}\s*\(", re.MULTILINE)
    for source in (code, *FENCED.findall(text)):
        if definition.search(source):
            return f"{preface(problem.question)}\n{source}"
    return problem.question + (code or text)


def preface(question: str) -> str:
    """The imports and functions before a question's last function."""
    head, _, _ = question.rpartition("\ndef ")
    return head
