"""Before an answer is accepted, its trajectory is run again from the start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedInterpreter, ScriptedPolicy, components

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.search import BestOfNConfig, Components, MajorityConfig, MCTSConfig, SearchResult, search_one
from treestar.types import Execution, Problem, Snapshot, State, Step


class LyingInterpreter(ScriptedInterpreter):
    """Prints the code, except that the search's own interpreter prints `lie` for the code `x`."""

    def __init__(self, lies: bool) -> None:
        super().__init__()
        self.lies = lies

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        execution = await super().run(code, parent)
        return replace(execution, output="lie") if self.lies and code == "x" else execution


class LyingExecutor(ScriptedExecutor):
    async def open(self) -> ScriptedInterpreter:
        self.opened.append(LyingInterpreter(lies=not self.opened))
        return self.opened[-1]


@dataclass
class PrintedAnswerPolicy(ScriptedPolicy):
    """The answer is the output of the last step."""

    def final_answer(self, step: Step, execution: Execution) -> str | None:
        return execution.output or None


def one_step(state: State, n: int, seed: int) -> list[Step]:
    codes = ["x", "x", "x", "y", "z"]
    return [Step(f"say {code}", code, "code", tokens=1) for code in (codes * n)[:n]]


def solve(executor: ScriptedExecutor, config: MajorityConfig | BestOfNConfig | MCTSConfig) -> SearchResult:
    lying = Components(PrintedAnswerPolicy(one_step), executor, ExactVerifier())
    return asyncio.run(search_one(Problem("?", "y"), config, lying))


def test_a_trajectory_that_gives_something_else_the_second_time_is_discarded_and_said() -> None:
    for config in (MajorityConfig(samples=5), BestOfNConfig(samples=5)):
        executor = LyingExecutor()
        result = solve(executor, config)
        assert (result.answer, result.correct, result.stats.discarded) == ("y", True, 3)
        assert result.tree is not None
        reasons = [node.terminal for node in result.tree.nodes[1:]]
        assert reasons == ["unrepeatable"] * 3 + ["answer"] * 2
        assert result.confidence == 0.5
        assert result.to_json()["stats"]["discarded"] == 3
        assert all(interpreter.closed for interpreter in executor.opened)


def test_a_tree_that_merges_equal_steps_discards_them_together() -> None:
    result = solve(LyingExecutor(), MCTSConfig(children=5, max_rollouts=2))
    assert (result.answer, result.stats.discarded) == ("y", 1)


def test_where_nothing_repeats_there_is_no_answer() -> None:
    lying = Components(
        PrintedAnswerPolicy(lambda state, n, seed: [Step("say x", "x", "code", tokens=1)] * n),
        LyingExecutor(),
        ExactVerifier(),
    )
    result = asyncio.run(search_one(Problem("?", "lie"), MajorityConfig(samples=2), lying))
    assert (result.answer, result.confidence, result.correct, result.trajectory) == (None, 0.0, False, ())
    assert result.stats.discarded == 2


def test_what_repeats_is_not_discarded() -> None:
    scripted = components(lambda state, n, seed: [Step("so 1", ending="answer", answer="1", tokens=1)] * n)
    result = asyncio.run(search_one(Problem("?", "1"), MajorityConfig(samples=3), scripted))
    assert (result.answer, result.stats.discarded) == ("1", 0)


class BusyInterpreter(ScriptedInterpreter):
    """Does not run the first code in time."""

    runs = 0

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        self.runs += 1
        if self.runs == 1:
            return Execution(error="TimeoutError: stopped")
        if code != "q = 1" and parent is None:
            return Execution(error="NameError: q")
        return await super().run(code, parent)


class BusyExecutor(ScriptedExecutor):
    async def open(self) -> ScriptedInterpreter:
        self.opened.append(BusyInterpreter())
        return self.opened[-1]


class PreparingPolicy(PrintedAnswerPolicy):
    def preamble(self, problem: Problem) -> str:
        return "q = 1"


def test_a_preamble_that_a_busy_machine_stopped_is_run_again_before_an_answer_is_discarded() -> None:
    parts = Components(PreparingPolicy(one_step), BusyExecutor(), ExactVerifier())
    result = asyncio.run(search_one(Problem("?", "x"), MajorityConfig(samples=3), parts))
    assert (result.answer, result.stats.discarded) == ("x", 0)


POISON = """
import sys
guards = sys.modules["treestar.sandbox.language.guards"]
guards.Output.text = lambda self: "1000000\\n"
raise ValueError("and nobody saw it")
"""


def test_what_an_escaped_step_made_its_neighbours_say_is_not_believed() -> None:
    """Without RestrictedPython a step can rewrite the worker that it runs in, for every later step of its tree."""
    codes = ["print(7)", POISON, "print(3 + 4)", "print(21 // 3)"]
    executor = SandboxExecutor(SandboxConfig(restricted=False))
    policy = PrintedAnswerPolicy(lambda state, n, seed: [Step(code, code, "code", tokens=1) for code in codes])
    try:
        result = asyncio.run(
            search_one(Problem("?", "7\n"), MajorityConfig(samples=4), Components(policy, executor, ExactVerifier()))
        )
    finally:
        asyncio.run(executor.close())
    assert (result.answer, result.correct, result.stats.discarded) == (
        "7\n",
        True,
        1,
    )  # then the groups are even, and 7 was first
