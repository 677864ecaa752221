"""Problems that ask for a program: read from data sets, answered in the `code` format, graded in the sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.paths import DATA, SHARED, needs_shared
from support.reply_steps import reply_steps

from treestar import Solver
from treestar.benchmarks.datasets import ProblemSet, load_problems, problem_from_hub
from treestar.benchmarks.matrix import BenchmarkConfig
from treestar.benchmarks.results import compute_results
from treestar.benchmarks.runner import begin_run, run_benchmark
from treestar.benchmarks.samples import iter_rows
from treestar.benchmarks.task import benchmark_worker, first_prompt
from treestar.policy import LanguageModelPolicy
from treestar.policy.formats import Message, step_format_named
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search import Components, GreedyConfig, MCTSConfig
from treestar.types import Problem, Proposal, Sampling, State
from treestar.verifier import AnswerVerifier
from treestar.verifier.programs.tests import public_tests_of
from treestar.verifier.programs.unit_tests import UnitTestVerifier
from treestar.workers import LocalWorkers

TEN = DATA / "programs" / "ten_problems.jsonl"


def chat(messages: list[Message]) -> str:
    return "".join(f"<{each['role']}>{each['content']}" for each in messages) + "<assistant>"


class RepliesPolicy(LanguageModelPolicy):
    """A model of the family-less `cot` kind that answers each problem with the given replies in turn."""

    def __init__(self, replies: dict[str, list[str]]) -> None:
        super().__init__(step_format_named("cot", chat), "replies")
        self.replies = replies

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        replies = self.replies[state.problem.id]
        steps = [self.format.parse(state, replies[(seed + i) % len(replies)], True) for i in range(n)]
        return Proposal(tuple(steps), 1, n)


def fenced(program: str) -> str:
    return f"Here is the program:\n```python\n{program}\n```"


def bench(out: Path, problems: list[Problem], replies: dict[str, list[str]], **settings: Any) -> dict[str, Any]:
    wanted = BenchmarkConfig(datasets=("own",), **settings)
    found = [ProblemSet("own", tuple(problems), len(problems), 0)]
    begun = begin_run(out, wanted, found, {"name": "replies", "num_fewshot": 0, "ppm": None}, resume=False)

    async def main() -> None:
        executor, verifier = SandboxExecutor(SandboxConfig(seconds=60.0)), AnswerVerifier()
        try:
            policy = RepliesPolicy(replies)
            parts = Components(policy, executor, verifier)
            worker = benchmark_worker(parts, lambda problem: first_prompt(policy, problem), {"ppm": None})
            await run_benchmark(out, wanted, found, LocalWorkers(worker, 2))
        finally:
            await executor.close()
            await verifier.close()

    asyncio.run(main())
    results: dict[str, Any] = compute_results(out / "samples.jsonl", begun, wanted)["results"]
    return results


# --- data sets -------------------------------------------------------------------------------------------------------


def test_problems_with_tests_need_no_gold_answer() -> None:
    found = load_problems(f"jsonl:{TEN}")
    assert (len(found.problems), found.without_answer) == (10, 0)
    assert {problem.kind for problem in found.problems} == {"code"}


def test_mbpp_s_rows_become_problems_whose_text_shows_the_tests() -> None:
    row = {
        "task_id": 11,
        "text": "Write a function to remove the first and last occurrence of a letter.",
        "code": "def remove_Occ(s, ch):\n    return s",
        "test_list": ["assert remove_Occ('hello', 'l') == 'heo'", "assert remove_Occ('abcda', 'a') == 'bcd'"],
        "test_setup_code": "import math",
    }
    problem = problem_from_hub(row, "mbpp", 0)
    assert (problem.kind, problem.id, problem.answer) == ("code", "11", row["code"])
    assert problem.metadata["entry_point"] == "remove_Occ"
    assert problem.metadata["tests"] == ["import math", *row["test_list"]]
    assert all(each in problem.question for each in row["test_list"])
    sanitized = {"prompt": row["text"], "test_imports": ["import math"], "test_list": row["test_list"], "code": "x"}
    assert problem_from_hub(sanitized, "mbpp", 0).metadata == problem.metadata


@pytest.mark.parametrize(
    ("asserts", "name"),
    [
        (["assert set(similar((3, 4), (5, 4))) == set((4, 5))"], "similar"),
        (["import math", "assert math.isclose(volume(10), 1.5)"], "volume"),
        (["assert not is_odd(2)", "assert is_odd(3)"], "is_odd"),
    ],
)
def test_the_function_that_assert_statements_are_about(asserts: list[str], name: str) -> None:
    problem = problem_from_hub({"text": "?", "test_list": asserts, "code": "x"}, "mbpp", 0)
    assert problem.metadata["entry_point"] == name


# --- HumanEval through the format and the grader ---------------------------------------------------------------------


@needs_shared("sets")
@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_humaneval_s_own_solutions_pass_however_they_are_written_and_changed_ones_fail(every: int) -> None:
    problems = load_problems("humaneval", SHARED / "sets").problems[::every]
    form = step_format_named("cot", chat).code_format
    assert form is not None

    def program(problem: Problem, reply: str) -> str:
        answer = reply_steps(form, problem, reply)[-1].answer
        assert answer is not None, (problem.id, reply)
        return answer

    def written(problem: Problem) -> dict[str, str]:
        whole, body = f"{problem.question}{problem.answer}", str(problem.answer)
        call = f"print({problem.metadata['entry_point']}())"
        return {
            "in a fence": f"```python\n{whole}```",
            "with prose around": f"Sure:\n```python\n{whole}```\nUse it so:\n```python\n{call}\n```\nIt works.",
            "only the body": body,
        }

    async def main() -> tuple[set[tuple[str, str]], set[str]]:
        executor = SandboxExecutor(SandboxConfig(seconds=60.0))
        verifier = UnitTestVerifier(executor)

        async def judge(problem: Problem) -> tuple[dict[str, bool], bool]:
            passed = {
                name: await verifier.accepts(problem, program(problem, reply))
                for name, reply in written(problem).items()
            }
            changed = str(problem.answer).replace("return ", "return 'changed', ")
            return passed, await verifier.accepts(problem, program(problem, changed))

        try:
            verdicts = await asyncio.gather(*map(judge, problems))
        finally:
            await executor.close()
        named = [(problem.id, *verdict) for problem, verdict in zip(problems, verdicts, strict=True)]
        failed = {(name, way) for name, passed, _ in named for way, fine in passed.items() if not fine}
        return failed, {name for name, _, fooled in named if fooled}

    failed, fooled = asyncio.run(main())
    assert failed == set()
    assert fooled == set()


@pytest.mark.slow
@needs_shared("sets")
def test_the_examples_in_humaneval_s_questions_are_public_tests_that_all_but_one_solution_pass() -> None:
    problems = load_problems("humaneval", SHARED / "sets").problems
    with_examples = [problem for problem in problems if public_tests_of(problem) is not None]
    assert len(with_examples) == 70

    async def main() -> list[bool]:
        executor = SandboxExecutor(SandboxConfig(seconds=60.0))
        verifier = UnitTestVerifier(executor)
        try:
            return await asyncio.gather(
                *(verifier.passes_public_tests(each, f"{each.question}{each.answer}") for each in with_examples)
            )
        finally:
            await executor.close()

    passed = asyncio.run(main())
    failing = [problem.id for problem, fine in zip(with_examples, passed, strict=True) if not fine]
    assert failing == ["HumanEval/47"], "its text says that the median of six numbers is 15, and its tests say 8"


# --- the benchmark and the solver ------------------------------------------------------------------------------------


ADD = Problem(
    'def add(a, b):\n    """The sum.\n\n    >>> add(1, 1)\n    2\n    """\n',
    "    return a + b\n",
    "add",
    "code",
    {"entry_point": "add", "tests": "def check(f):\n    assert f(1, 1) == 2\n    assert f(2, 3) == 5\n"},
)
TWICE = Problem(
    "Read a number and print twice of it.",
    "",
    "twice",
    "code",
    {
        "tests": [{"input": "1\n", "output": "2\n"}, {"input": "7\n", "output": "14\n"}],
        "public_tests": [{"input": "1\n", "output": "2\n"}],
    },
)
REPLIES = {
    "add": [
        fenced("def add(a, b):\n    return a + b"),
        fenced("def add(a, b):\n    return 2"),
        fenced("def add(a, b):\n    return a - b"),
        "I do not know.",
    ],
    "twice": [fenced("print(2 * int(input()))"), fenced("print(2)"), fenced("print(3)"), fenced("print(1 / 0)")],
}


def test_a_benchmark_asks_for_programs_and_grades_them_with_no_further_flag(tmp_path: Path) -> None:
    results = bench(
        tmp_path, [ADD, TWICE], REPLIES, strategies=("greedy", "majority", "mcts"), samples=4, k=(1, 4), search={}
    )
    rows = {(row["cell"].split("/")[1], row["doc"]["id"]): row for row in iter_rows(tmp_path / "samples.jsonl")}
    assert rows["sampling", "add"]["arguments"][0].startswith("<user>Complete the following Python function.")
    assert sorted(rows["sampling", "add"]["right"]) == [False, False, False, True]
    assert sum(answer is None for answer in rows["sampling", "add"]["filtered_resps"]) == 1, (
        "samples see no public tests"
    )
    assert sorted(rows["sampling", "twice"]["right"]) == [False, False, False, True]
    assert results["own/sampling/t=1"]["pass@1,none"] == 0.25
    assert results["own/sampling/t=1"]["pass@4,none"] == 1.0
    for name, right in (("add", "return a + b"), ("twice", "2 * int(input())")):
        found = rows["mcts", name]["filtered_resps"]
        assert any(right in answer for answer in found)
        assert all(right in answer or "return 2" in answer or "print(2)" in answer for answer in found), (
            "a program that fails its public tests is not an answer"
        )


def test_a_solver_takes_them_too() -> None:
    policy = RepliesPolicy({"twice": REPLIES["twice"][2:3] + REPLIES["twice"][:1]})
    with Solver(policy, MCTSConfig(max_rollouts=4), executor=SandboxConfig(seconds=60.0)) as solver:
        result = solver.solve(TWICE)
        assert (result.answer, result.correct) == ("print(2 * int(input()))\n", True)
    with Solver(RepliesPolicy({"add": REPLIES["add"][2:3]}), GreedyConfig(), executor=SandboxConfig()) as solver:
        result = solver.solve(ADD)
        assert result.answer is not None
        assert result.correct is False
