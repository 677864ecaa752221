"""Chunk-reset reasoning: steps that the scorer does not accept are sampled again at the same place."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import components, path_texts, random_script, texts
from support.scripted_judge import ScriptedJudgeModel
from support.tiny_model import tiny_model

from treestar.benchmarks.matrix import Cell
from treestar.benchmarks.samples import trajectories
from treestar.judge import JudgeScorer
from treestar.policy import RStarFormat, TransformersPolicy
from treestar.policy.formats import CotFormat, TirFormat
from treestar.policy.formats.families import INSTRUCT
from treestar.policy.formats.templates import plain_template
from treestar.ppm.trees import outcomes
from treestar.search import ChunkResetConfig, Components, Node, SearchResult, Tree, search_one
from treestar.types import Problem, State, Step

PROBLEM = Problem("which?", answer="1")


def run(config: ChunkResetConfig, script: Any, rate: Any, seed: int = 0) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, rate), seed))


def tree_of(result: SearchResult) -> Tree:
    assert result.tree is not None
    return result.tree


class Tries:
    """Steps `a1, a2, ...` at the first place, `b1, ...` at the second, then the answer 1."""

    def __init__(self) -> None:
        self.number = 0

    def script(self, state: State, n: int, seed: int) -> list[Step]:
        steps = []
        for _ in range(n):
            self.number += 1
            if len(state.steps) == 2:
                steps.append(Step("so 1", ending="answer", answer="1", tokens=4))
            else:
                steps.append(Step(f"{'ab'[len(state.steps)]}{self.number}", tokens=2))
        return steps


def last_text(state: State) -> str:
    return state.steps[-1].text


def test_a_rejected_step_is_sampled_again_at_the_same_place() -> None:
    result = run(
        ChunkResetConfig(), Tries().script, lambda state: -0.5 if last_text(state) in ("a1", "a2", "b4") else 0.5
    )
    assert (result.answer, result.correct, result.stopped) == ("1", True, "finished")
    assert [step.text for step in result.trajectory] == ["a3", "b5", "so 1"]
    rejected = [node for node in tree_of(result).nodes if node.terminal == "rejected"]
    assert [path_texts(node) for node in rejected] == [("a1",), ("a2",), ("a3", "b4")]
    assert (result.stats.generated_tokens, result.stats.rejected_tokens) == (5 * 2 + 4, 3 * 2)
    assert result.stats.rollouts == 1


def test_the_last_attempt_is_accepted_whatever_its_score() -> None:
    result = run(ChunkResetConfig(attempts=3), Tries().script, lambda _: -1.0)
    assert [step.text for step in result.trajectory] == ["a3", "b6", "so 1"]
    assert result.stats.rejected_tokens == 2 * 2 + 2 * 2 + 2 * 4


def test_a_score_at_the_threshold_is_accepted() -> None:
    assert run(ChunkResetConfig(accept_from=0.5), Tries().script, lambda _: 0.5).stats.rejected_tokens == 0
    assert run(ChunkResetConfig(accept_from=0.6), Tries().script, lambda _: 0.5).stats.rejected_tokens > 0


def test_a_rejected_answer_has_no_vote() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        rng = random.Random(seed)
        return [
            Step(f"so {digit}", ending="answer", answer=str(digit)) for digit in (rng.randrange(3) for _ in range(n))
        ]

    result = run(
        ChunkResetConfig(samples=6, attempts=40), script, lambda state: 1.0 if last_text(state) == "so 2" else -1.0
    )
    assert (result.answer, result.confidence, result.stats.rollouts) == ("2", 1.0, 6)
    assert {node.answer for node in tree_of(result).nodes} == {None, "2"}


def test_a_step_whose_code_fails_is_rejected_without_being_scored() -> None:
    scored: list[tuple[str, ...]] = []

    def script(state: State, n: int, seed: int) -> list[Step]:
        first = not scored and not state.steps and script_calls.pop()
        return [
            Step("raise x", "raise x", tokens=3) if first else Step("so 1", ending="answer", answer="1", tokens=4)
        ] * n

    script_calls = [False, True]

    def rate(state: State) -> float:
        scored.append(texts(state))
        return 1.0

    result = run(ChunkResetConfig(), script, rate)
    assert result.answer == "1"
    assert scored == [("so 1",)]
    assert result.stats.rejected_tokens == 3


def test_a_token_budget_allows_as_many_trajectories_as_fit() -> None:
    result = run(ChunkResetConfig(max_generated_tokens=200), Tries().script, lambda _: 1.0)
    assert result.stopped == "max_generated_tokens"
    assert result.stats.rollouts > 10
    assert 200 <= result.stats.spent_tokens <= 200 + 4 * 4
    assert run(ChunkResetConfig(samples=3), Tries().script, lambda _: 1.0).stats.rollouts == 3
    assert run(ChunkResetConfig(samples=9, max_rollouts=2), Tries().script, lambda _: 1.0).stats.rollouts == 2


def test_a_judges_tokens_count_against_the_budget_and_its_analyses_are_in_the_tree() -> None:
    reply = r"The step is fine. \boxed{Positive}"
    model = ScriptedJudgeModel(lambda *_: reply)
    parts = components(Tries().script)
    parts = Components(parts.policy, parts.executor, parts.verifier, JudgeScorer(model))
    config = ChunkResetConfig(max_generated_tokens=60, in_flight=1)
    result = asyncio.run(search_one(PROBLEM, config, parts))
    stats = result.stats
    assert result.stopped == "max_generated_tokens"
    assert stats.judged_tokens == len(reply.split()) * len(model.prompts)
    assert 60 <= stats.generated_tokens + stats.judged_tokens < 60 + 4 + 5
    assert all(node.analysis == reply for node in tree_of(result).nodes if node.step is not None)
    again = Tree.from_json(tree_of(result).to_json())
    assert [node.analysis for node in again.nodes] == [node.analysis for node in tree_of(result).nodes]


def test_fewer_first_steps_than_were_asked_for_end_no_other_trajectory() -> None:
    """The policy gives one step less than it is asked for, and from the second proposal on none at the root."""
    proposals: list[int] = []

    def script(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) == 2:
            return [Step("so 1", ending="answer", answer="1", tokens=4)] * n
        if state.steps:
            return [Step("b", tokens=2)] * n
        proposals.append(n)
        return [Step(f"a{i}", tokens=2) for i in range(n - 1 if len(proposals) == 1 else 0)]

    for limits in ({"samples": 8}, {"max_generated_tokens": 1000}):
        proposals.clear()
        result = run(ChunkResetConfig(in_flight=4, **limits), script, lambda _: 0.5)
        answers = [node.answer for node in tree_of(result).terminals()]
        assert (answers, result.answer, result.stopped) == (["1"] * 3, "1", "finished")
        assert proposals == [4, 1]


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 8))
def test_every_trajectory_consists_of_accepted_steps(seed: int, attempts: int, in_flight: int, samples: int) -> None:
    config = ChunkResetConfig(attempts=attempts, in_flight=in_flight, samples=samples, max_depth=5)

    def rate(state: State) -> float:
        return (sum(map(ord, "".join(texts(state)))) % 129 - 64) / 64

    tree = tree_of(result := run(config, random_script(failure_share=0.2), rate, seed))
    assert result.stats.rollouts == samples
    rejected = [node for node in tree.nodes if node.terminal == "rejected"]
    assert all(not node.children and node.answer is None for node in rejected)
    assert sum(node.step.tokens for node in rejected if node.step) == result.stats.rejected_tokens
    for node in tree.nodes:
        tried = [child for child in node.children if child.terminal == "rejected"]
        started = len(node.children) - len(tried)
        assert len(tried) <= (attempts - 1) * max(started, 1)
        if node.index and node.terminal not in ("rejected", "error", "truncated"):
            assert node.score is not None
            assert node.parent is not None
            assert node.score >= 0 or attempts == 1 or len(tried_beside(node)) >= attempts - 1
    ends = trajectories(Cell("own", "chunk_reset", 1.0, None, 0, config, None), [result])
    assert len(ends) == samples
    # Rejected steps are not failed trajectories in training data.
    assert outcomes(tree)[0].unanswered == sum(end.node.terminal != "answer" for end in ends)


def tried_beside(node: Node) -> list[Node]:
    assert node.parent is not None
    return [child for child in node.parent.children if child.terminal == "rejected" and child.index < node.index]


def test_retries_need_a_temperature() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        ChunkResetConfig(temperature=0.0)


@pytest.mark.parametrize("step_format", ["rstar", "cot", "tir"])
def test_a_real_model_of_any_format_is_reset(step_format: str) -> None:
    model, tokenizer = tiny_model()
    formats = {
        "rstar": RStarFormat(),
        "cot": CotFormat(plain_template, INSTRUCT),
        "tir": TirFormat(plain_template, INSTRUCT),
    }
    policy = TransformersPolicy(model, tokenizer, formats[step_format], "tiny")
    parts = components(lambda *_: [], lambda state: random.Random(texts(state)[-1]).uniform(-1, 1))
    parts = Components(policy, parts.executor, parts.verifier, parts.scorer)
    config = ChunkResetConfig(samples=2, max_step_tokens=8, max_depth=3)
    result = asyncio.run(search_one(PROBLEM, config, parts))
    assert result.stats.rollouts == 2
    assert result.stats.rejected_tokens <= result.stats.generated_tokens
