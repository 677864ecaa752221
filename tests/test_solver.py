"""The Solver: ordered results, resuming, bad input, interruption, and use from threads and inside asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, ScriptedScorer, random_script

import treestar
from treestar import BeamSearchConfig, GreedyConfig, MajorityConfig, MCTSConfig, Problem, Solver, TreestarError
from treestar.problems import LONGEST_QUESTION
from treestar.types import Proposal, State, Step


def scripted_solver(search: treestar.search.SearchConfig | None = None, seed: int = 0) -> Solver:
    return Solver(
        ScriptedPolicy(random_script()),
        search or MCTSConfig(max_rollouts=4, children=3),
        executor=ScriptedExecutor(),
        verifier=ExactVerifier(),
        seed=seed,
    )


PROBLEMS = [Problem(f"question {i}", str(i % 3), id=f"p{i}") for i in range(12)]


def test_one_question_and_many() -> None:
    with scripted_solver() as solver:
        result = solver.solve("question 3")
        assert (result.problem.question, result.correct) == ("question 3", None)
        results = solver.solve_many(["question 3", *PROBLEMS])
    assert [each.problem.question for each in results[1:]] == [problem.question for problem in PROBLEMS]
    assert results[0].tree is not None
    assert result.tree is not None
    assert results[0].tree.to_json() == result.tree.to_json()
    data = results[1].to_json()
    assert set(data) == {
        "id", "question", "answer", "gold", "correct", "confidence", "other_answers", "trajectory", "stats", "stopped"
    }  # fmt: skip
    assert set(data["stats"]) >= {"rollouts", "nodes", "executions", "prompt_tokens", "generated_tokens", "seconds"}
    for step in data["trajectory"]:
        assert set(step) == {"text", "code", "output", "q_value", "visits", "score"}


def test_a_result_that_is_read_back_is_judged_by_the_gold_answer_of_today(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with scripted_solver() as solver:
        [first] = solver.solve_many(PROBLEMS[:1], out)
        assert first.answer is not None
        now = [replace(PROBLEMS[0], answer=gold) for gold in (first.answer, "another", None)]
        read = [solver.solve_many([problem], out)[0] for problem in now]
    assert [each.correct for each in read] == [True, False, None]
    assert [each.problem for each in read] == now


@pytest.mark.parametrize(
    "text", ['[{"question": "question 1"}]', '{"id": "p0", "question": "question 0"}', "What I found out."]
)
def test_a_file_of_something_else_is_never_overwritten(text: str, tmp_path: Path) -> None:
    """A last line without a line break is what a killed run leaves, and also what json.dump writes."""
    out = tmp_path / "problems.json"
    out.write_text(text)
    with scripted_solver() as solver, pytest.raises(TreestarError, match="is not a treestar result: choose another"):
        solver.solve_many(PROBLEMS, out)
    assert out.read_text() == text


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with scripted_solver() as solver:
        whole = solver.solve_many(PROBLEMS)
        solver.solve_many(PROBLEMS[:5], out)
        with out.open("a") as file:
            file.write('{"id": "p5", "quest')  # killed while it wrote
        calls = solver.components.policy.calls  # type: ignore[attr-defined]
        seen: list[str] = []
        resumed = solver.solve_many(PROBLEMS, out, on_result=lambda result: seen.append(result.problem.id))
        assert solver.components.policy.calls > calls  # type: ignore[attr-defined]
        calls = solver.components.policy.calls  # type: ignore[attr-defined]
        again = solver.solve_many(PROBLEMS, out)
        assert solver.components.policy.calls == calls, "all results are in the file"  # type: ignore[attr-defined]
    assert sorted(seen) == sorted(problem.id for problem in PROBLEMS)
    assert [without_time(each) for each in resumed] == [without_time(each) for each in whole]
    assert [without_time(each) for each in again] == [without_time(each) for each in whole]
    lines = out.read_text().splitlines()
    assert len(lines) == len({json.loads(line)["id"] for line in lines}) == len(PROBLEMS)


def test_results_without_trees_are_the_same_results(tmp_path: Path) -> None:
    seen: list[treestar.SearchResult] = []
    with scripted_solver() as solver:
        whole = solver.solve_many(PROBLEMS)
        bare = solver.solve_many(PROBLEMS, on_result=seen.append, trees=False)
    assert [without_time(each) for each in bare] == [without_time(each) for each in whole]
    assert all(each.tree is None for each in [*bare, *seen])


def without_time(result: treestar.SearchResult) -> dict:
    data = result.to_json()
    data["stats"].pop("seconds")
    data["stats"].pop("executed_seconds")
    return data


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    with scripted_solver() as solver:
        solver.solve_many(PROBLEMS[:2], out)
    with scripted_solver(seed=1) as solver, pytest.raises(TreestarError, match=r"other settings \(seed\)"):
        solver.solve_many(PROBLEMS, out)
    with (
        scripted_solver(MajorityConfig(samples=2)) as solver,
        pytest.raises(TreestarError, match="other settings"),
    ):
        solver.solve_many(PROBLEMS, out)


def test_results_of_another_ppm_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    for name in ("one", "one", "other"):
        scorer = ScriptedScorer(lambda state: 0.5, name)
        parts = {"executor": ScriptedExecutor(), "verifier": ExactVerifier()}
        with Solver(ScriptedPolicy(random_script()), BeamSearchConfig(), scorer, **parts) as solver:
            if name == "other":
                with pytest.raises(TreestarError, match=r"other settings \(ppm\)"):
                    solver.solve_many(PROBLEMS[:2], out)
            else:
                results = solver.solve_many(PROBLEMS[:2], out)
                assert all(result.stats.scored_tokens > 0 for result in results)


def test_results_of_another_step_format_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"

    def solve(step_format: str, **options: Any) -> int:
        policy = ScriptedPolicy(random_script())
        policy.step_format = step_format
        with Solver(policy, GreedyConfig(), None, ScriptedExecutor(), ExactVerifier(), **options) as solver:
            solver.solve_many(PROBLEMS[:2], out)
        return policy.calls

    assert solve("rstar") > 0 == solve("rstar")
    with pytest.raises(TreestarError, match=r"other settings \(step_format\)"):
        solve("chat")
    with pytest.raises(TreestarError, match=r"other settings \(step_separator\)"):
        solve("rstar", step_separator="\n")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    for line in lines:
        del line["settings"]["step_format"]  # as an older version wrote it
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert solve("chat") == 0


def test_a_ppm_that_is_missing_is_said_before_anything_is_loaded() -> None:
    with pytest.raises(ValueError, match="beam needs a process preference model"):
        Solver("./no-such-policy", BeamSearchConfig())


def test_a_file_that_is_no_results_file_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "notes.txt"
    out.write_text("my notes\n")
    with scripted_solver() as solver, pytest.raises(TreestarError, match="line 1, is not a treestar result"):
        solver.solve_many(PROBLEMS, out)
    assert out.read_text() == "my notes\n"


def test_bad_questions_are_refused_by_name() -> None:
    with scripted_solver() as solver:
        with pytest.raises(ValueError, match="problem 'p': the question is empty"):
            solver.solve(Problem("  \n", id="p"))
        with pytest.raises(ValueError, match="1,000,000 characters"):
            solver.solve("x" * 1_000_000)
        assert solver.solve("x" * LONGEST_QUESTION).stats.rollouts > 0


def test_a_gold_answer_can_be_a_number_and_nothing_else_that_is_not_text() -> None:
    """Data sets of competitions have whole numbers."""
    with scripted_solver() as solver:
        found = solver.solve(Problem("question 3", "1")).answer
        assert found is not None
        result = solver.solve(Problem("question 3", int(found)))  # type: ignore[arg-type]
        assert (result.problem.answer, result.correct) == (found, True)
        with pytest.raises(ValueError, match="problem 'p': the answer must be a text, not a list"):
            solver.solve(Problem("question 3", [found], "p"))  # type: ignore[arg-type]


def test_inside_asyncio_and_from_threads() -> None:
    with scripted_solver() as solver:

        async def inside() -> str | None:
            return solver.solve("question 1").answer

        expected = asyncio.run(inside())
        answers: list[str | None] = []
        threads = [threading.Thread(target=lambda: answers.append(solver.solve("question 1").answer)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [expected] * 4


def test_closing_twice_is_harmless() -> None:
    solver = scripted_solver()
    solver.close()
    solver.close()


def test_a_solver_that_cannot_answer_says_so_instead_of_waiting_forever() -> None:
    solver = scripted_solver()
    with pytest.raises(RuntimeError, match="cannot use the Solver that calls them"):
        solver.solve_many(["question 1"], on_result=lambda result: print(solver.solve("question 2")))
    with pytest.raises(RuntimeError, match="cannot use the Solver that calls them"):
        solver.solve_many(["question 1"], on_result=lambda result: solver.close())
    assert solver.solve("question 1").stopped == "finished"
    solver.close()
    with pytest.raises(RuntimeError, match="this Solver is closed"):
        solver.solve("question 1")


def test_what_is_no_list_of_problems_is_refused_by_its_type() -> None:
    """A text is a list of its letters."""
    with scripted_solver() as solver:
        for one in ("2+2?", PROBLEMS[0]):
            with pytest.raises(TypeError, match="problems must be a list, not one problem"):
                solver.solve_many(one)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"a problem is a text or a treestar\.Problem, not a dict: {'question'"):
            solver.solve({"question": "2+2?"})  # type: ignore[arg-type]


def test_a_forked_process_is_told_to_make_its_own_solver() -> None:
    """As in a pool of processes: the thread that searches is only in the process that made the solver."""

    def ask(said: Connection) -> None:
        with solver:
            try:
                solver.solve("question 1")
            except RuntimeError as error:
                said.send(str(error))

    here, there = Pipe()
    with scripted_solver() as solver:
        child = get_context("fork").Process(target=ask, args=(there,), daemon=True)
        child.start()
        assert here.poll(60)
        assert "make one in each process" in here.recv()
        child.join(60)
        assert child.exitcode == 0
        assert solver.solve("question 1").stopped == "finished"


class WaitingPolicy(ScriptedPolicy):
    """Waits forever."""

    asked = threading.Event()

    async def propose(self, *request: object) -> Proposal:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


def test_closing_ends_what_other_threads_wait_for() -> None:
    policy, executor, ended = WaitingPolicy(random_script()), ScriptedExecutor(), []
    solver = Solver(policy, MCTSConfig(), executor=executor, verifier=ExactVerifier())

    def solve() -> None:
        try:
            solver.solve("question 1")
        except CancelledError:
            ended.append("cancelled")

    thread = threading.Thread(target=solve, daemon=True)
    thread.start()
    assert policy.asked.wait(60)
    solver.close()
    thread.join(60)
    assert ended == ["cancelled"]
    assert executor.opened[0].closed


def arithmetic(state: State, n: int, seed: int) -> list[Step]:
    if not state.steps:
        return [Step("# add\na = 17 + 4", "# add\na = 17 + 4"), Step("# add\na = 17 - ", "a = 17 - ")]
    return [Step("print(a * 2)", "print(a * 2)", "code")]


class ArithmeticPolicy(ScriptedPolicy):
    def final_answer(self, step: Step, execution: treestar.Execution) -> str | None:
        return execution.output.strip() if step.ending == "code" else None


def test_steps_run_in_the_real_sandbox_and_the_grader_is_real() -> None:
    with Solver(ArithmeticPolicy(arithmetic), MCTSConfig(max_rollouts=2)) as solver:
        result = solver.solve(Problem("What is twice the sum of 17 and 4?", answer="\\frac{84}{2}"))
    assert (result.answer, result.correct, result.confidence) == ("42", True, 1.0)
    assert [step.output.strip() for step in result.trajectory] == ["", "42"]
    assert result.stats.executions == 3


INTERRUPTED = """
import signal, time, treestar
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born without it
from support.scripted import *
from treestar.types import *

class SlowPolicy(ScriptedPolicy):
    async def propose(self, *request):
        import asyncio
        await asyncio.sleep(0.02)
        proposal = await super().propose(*request)
        if self.calls == 100:
            print("searching", flush=True)
        return proposal

config = treestar.MCTSConfig(max_rollouts=100000, early_stop=False, children=4)
solver = treestar.Solver(SlowPolicy(random_script(0.1)), config, executor=ScriptedExecutor(), verifier=ExactVerifier())
result = solver.solve("question 1")
print(result.stopped, result.answer is not None, result.stats.rollouts > 0)
solver.close()
"""


def test_ctrl_c_ends_a_search_with_what_it_has() -> None:
    script = textwrap.dedent(INTERRUPTED)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "searching\n"
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out.split() == ["interrupted", "True", "True"]
    assert process.returncode == 0


def test_no_problem_at_a_time_is_refused() -> None:
    with (
        Solver(ScriptedPolicy(random_script()), executor=ScriptedExecutor(), concurrency=0) as solver,
        pytest.raises(ValueError, match="concurrency must be a whole number, 1 or more, not 0"),
    ):
        solver.solve("question")
