"""A policy that is shown why its code failed goes on after it, whatever the strategy, and when it is run again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from support.grpo_rollouts import ScriptedModel
from support.scripted import ScriptedScorer

from treestar.policy.formats import TirFormat
from treestar.policy.formats.families import INSTRUCT
from treestar.policy.formats.templates import plain_template
from treestar.sandbox import SandboxExecutor
from treestar.search import (
    AdaptiveBranchingConfig,
    BeamSearchConfig,
    BestOfNConfig,
    ChunkResetConfig,
    Components,
    DVTSConfig,
    GreedyConfig,
    MajorityConfig,
    MCTSConfig,
    SearchConfig,
    SearchResult,
    Tree,
    WeightedVoteConfig,
    search_one,
)
from treestar.selfevolve.selection import right_trajectories, sft_rows
from treestar.storage.states import state_to_json
from treestar.types import Problem, Proposal, Sampling, State, Step
from treestar.verifier import AnswerVerifier

PROBLEM = Problem("What is 1 plus 1?", "2", "sum")

SETTINGS: list[SearchConfig] = [
    GreedyConfig(),
    MajorityConfig(samples=2),
    BestOfNConfig(samples=2),
    WeightedVoteConfig(samples=2),
    BeamSearchConfig(beam_width=2, children=2),
    DVTSConfig(subtrees=2, children=2),
    MCTSConfig(children=2, max_rollouts=4),
    MCTSConfig(children=2, max_rollouts=4, on_error="penalize"),
    AdaptiveBranchingConfig(max_rollouts=4),
    ChunkResetConfig(samples=2, attempts=2),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxExecutor]:
    executor = SandboxExecutor()
    yield executor
    asyncio.run(executor.close())


def correcting(read: str, index: int) -> str:
    """Sets x; fails after it has set it again; prints the x from before the failure."""
    if "```output" not in read:
        return "I set it.\n```python\nx = 2\n```\n"
    if read.count("```output") == 1:
        return "I compute it.\n```python\nx = 9\nprint(unknown)\n```\n"
    if read.count("```output") == 2:
        assert "```output\nNameError: name 'unknown' is not defined (line 2: `print(unknown)`)\n```\n" in read
        return "I correct it.\n```python\nprint(x)\n```\n"
    return f"So the sum is \\boxed{{{read.rsplit('```output', 1)[1].split()[0]}}}."


def solve(config: SearchConfig, policy: Any, executor: Any) -> SearchResult:
    parts = Components(policy, executor, AnswerVerifier(), ScriptedScorer(lambda _: 0.5))
    return asyncio.run(search_one(PROBLEM, config, parts))


@pytest.mark.parametrize("config", SETTINGS, ids=lambda each: type(each).__name__)
def test_a_failed_program_is_corrected_in_every_strategy(config: SearchConfig, sandbox: SandboxExecutor) -> None:
    result = solve(config, ScriptedModel(correcting, "tir"), sandbox)
    assert (result.answer, result.correct, result.stats.discarded) == ("2", True, 0)
    assert [step.output for step in result.trajectory] == [
        "",
        "NameError: name 'unknown' is not defined (line 2: `print(unknown)`)",
        "2\n",
        "",
    ]
    assert result.tree is not None
    assert "error" not in {node.terminal for node in result.tree.nodes}


def test_where_the_error_is_not_shown_the_trajectory_ends(sandbox: SandboxExecutor) -> None:
    def failing(read: str, index: int) -> str:
        return "x = unknown\n<end_of_step>"

    result = solve(GreedyConfig(), ScriptedModel(failing, "rstar"), sandbox)
    assert result.tree is not None
    assert [node.terminal for node in result.tree.nodes] == [None, "error"]


def test_a_saved_tree_and_a_training_row_keep_the_error(sandbox: SandboxExecutor) -> None:
    tree = solve(MCTSConfig(gold=True, max_rollouts=2), ScriptedModel(correcting, "tir"), sandbox).tree
    assert tree is not None
    again = Tree.from_json(tree.to_json())
    form = TirFormat(plain_template, INSTRUCT)
    [right] = right_trajectories(again)
    row = {"problem_id": "sum", "trajectory": state_to_json(right.state, step_format=right.step_format), "copies": 1}
    [read] = sft_rows([row])
    assert "NameError" in form.reply(read.trajectory)
    assert form.reply(read.trajectory) == form.reply(tree.state(tree.nodes[right.node]))


def test_chunk_reset_samples_a_failed_step_again_before_it_goes_on_after_one(sandbox: SandboxExecutor) -> None:
    result = solve(ChunkResetConfig(attempts=3), ScriptedModel(correcting, "tir"), sandbox)
    assert result.tree is not None
    failed = [node for node in result.tree.nodes if node.execution.error is not None]
    assert [node.terminal for node in failed] == ["rejected", "rejected", None]
    assert [node.score for node in failed[:2]] == [None, None]


def test_one_that_repeats_its_failing_program_is_asked_for_its_answer(sandbox: SandboxExecutor) -> None:
    def stubborn(read: str, index: int) -> str:
        return "2}." if read.endswith("\\boxed{") else "Again.\n```python\nprint(unknown)\n```\n"

    result = solve(GreedyConfig(), ScriptedModel(stubborn, "tir"), sandbox)
    assert (result.answer, result.stats.executions) == ("2", 2)


def test_a_policy_that_does_not_inherit_says_so_itself(sandbox: SandboxExecutor) -> None:
    class Plain:
        shows_errors = True

        async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
            if state.executions and state.executions[-1].error:
                return Proposal((Step("so 2", ending="answer", answer="2", tokens=1),) * n)
            return Proposal((Step("1 / 0", "1 / 0", tokens=1),) * n)

    assert solve(GreedyConfig(), Plain(), sandbox).answer == "2"
