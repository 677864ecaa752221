"""DeepConf: least confident groups, trajectories that are given up, and weighted votes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import components
from support.tiny_model import tiny_model

from treestar.policy import RStarFormat, TransformersPolicy
from treestar.search import DeepConfConfig, SearchResult, search_one
from treestar.search.deepconf import least_confidence, reached_by
from treestar.types import Problem, Sampling, State, Step, TreestarError

PROBLEM = Problem("which?", answer="a")
CONFIG = DeepConfConfig(samples=40, warmup=10, window=5, keep_share=0.5, group_tokens=2, consensus=1.0)


def sure_and_unsure(state: State, n: int, seed: int) -> list[Step]:
    """Trajectories of two steps. Half of them are unsure in the first, and answer b; the others are sure of a."""
    rng = random.Random(seed)
    steps = []
    for _ in range(n):
        if not state.steps:
            sure = rng.random() < 0.5
            steps.append(Step("sure" if sure else "unsure", tokens=2, confidences=(5.0, 4.0) if sure else (1.0, 2.0)))
        else:
            answer = "a" if state.steps[0].text == "sure" else "b"
            steps.append(Step("so", "", "answer", answer, tokens=1, confidences=(6.0,)))
    return steps


def run(config: DeepConfConfig) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(sure_and_unsure)))


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(1, 50))
def test_the_least_confident_group_is_that_of_the_definition(confidences: list[float], group: int) -> None:
    width = min(group, len(confidences))
    means = [sum(confidences[i : i + width]) / width for i in range(len(confidences) - width + 1)]
    assert least_confidence(confidences, group) == pytest.approx(min(means), abs=1e-9)


@pytest.mark.parametrize(
    ("count", "share", "kept"), [(10, 0.9, 9), (10, 0.1, 1), (5, 0.8, 4), (3, 0.5, 2), (4, 1.0, 4)]
)
def test_the_threshold_is_reached_by_the_share_that_is_kept(count: int, share: float, kept: int) -> None:
    values = [float(value) for value in range(count)]
    assert sum(value >= reached_by(values, share) for value in values) == kept


def test_the_beginning_of_a_trajectory_is_judged_from_a_whole_group_of_tokens_on() -> None:
    """All trajectories are equal, and their first two tokens are less sure than any three of them."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if not state.steps:
            return [Step("begin", tokens=2, confidences=(3.0, 3.0))] * n
        return [Step("so", "", "answer", random.Random(seed).choice("ab"), tokens=2, confidences=(9.0, 9.0))] * n

    config = DeepConfConfig(samples=20, warmup=5, window=5, keep_share=1.0, group_tokens=3, consensus=1.0)
    result = asyncio.run(search_one(PROBLEM, config, components(script)))
    assert result.tree is not None
    assert {node.terminal for node in result.tree.terminals()} == {"answer"}


def test_unsure_trajectories_are_given_up_before_their_answer_and_do_not_vote() -> None:
    result = run(CONFIG)
    assert result.tree is not None
    assert (result.answer, result.confidence, result.stopped) == ("a", 1.0, "decided")
    unsure = [node for node in result.tree.terminals() if node.terminal == "unsure"]
    assert unsure
    assert all(node.path()[0].step.text == "unsure" for node in unsure if node.path()[0].step)
    assert all(node.answer is None for node in unsure)
    never = run(DeepConfConfig(samples=40, warmup=10, window=5, keep_share=1.0, group_tokens=2, consensus=1.0))
    assert {node.answer for node in never.tree.terminals()} == {"a", "b"} if never.tree else False


def test_after_the_warm_up_unsure_trajectories_cost_one_step() -> None:
    config = DeepConfConfig(samples=40, warmup=10, window=30, keep_share=0.5, group_tokens=2)

    def script(state: State, n: int, seed: int) -> list[Step]:
        steps = sure_and_unsure(state, n, seed)
        varied = random.Random(seed).choice("ac")
        return [
            step if step.answer != "a" else Step("so", "", "answer", varied, tokens=1, confidences=(6.0,))
            for step in steps
        ]

    result = asyncio.run(search_one(PROBLEM, config, components(script)))
    assert result.tree is not None
    later = [node for node in result.tree.terminals() if node.terminal == "unsure" and node.depth == 1]
    assert later, "given up after their first step"
    assert all(not node.children and node.closed for node in later)


def test_a_policy_without_confidences_says_so() -> None:
    plain = components(lambda state, n, seed: [Step("a", "", "answer", "a", tokens=1)] * n)
    with pytest.raises(TreestarError, match="deepconf needs the confidence of tokens, which scripted does not give"):
        asyncio.run(search_one(PROBLEM, CONFIG, plain))


def test_transformers_gives_the_confidence_of_the_definition() -> None:
    import torch

    model, tokenizer = tiny_model()
    policy = TransformersPolicy(model, tokenizer, RStarFormat(), "tiny")
    state = State(PROBLEM)
    asked = Sampling(1.0, 1.0, 9, confidence_top=3)
    generated = asyncio.run(policy.generate(policy.prompt_tokens(state), 2, asked, 4, ())).continuations
    for each in generated:
        ids = torch.tensor([[*policy.prompt_tokens(state), *each.token_ids]])
        with torch.inference_mode():
            logits = model(input_ids=ids).logits[0, -len(each.token_ids) - 1 :].log_softmax(-1)
        wanted = -logits.topk(3).values.mean(-1)
        assert each.confidences[: len(each.token_ids)] == pytest.approx(
            wanted[: len(each.token_ids)].tolist(), rel=1e-4
        )
        assert len(each.confidences) == each.tokens


def test_a_vote_weighs_as_much_as_the_least_sure_group() -> None:
    """The mean over all tokens is higher for the other answer."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        uneven = Step("so a", "", "answer", "a", tokens=3, confidences=(9.0, 1.0, 9.0))
        return [uneven, replace(uneven, text="so b", answer="b", confidences=(3.0, 3.0, 3.0))][:n]

    config = DeepConfConfig(samples=2, warmup=2, keep_share=1.0, group_tokens=1)
    result = asyncio.run(search_one(PROBLEM, config, components(script)))
    assert (result.answer, result.confidence) == ("b", 0.75)


def test_trajectories_without_confidences_set_no_threshold_and_have_no_weight() -> None:
    """Every second reply of a server comes without them."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        sure = Step("so a", "", "answer", "a", tokens=1, confidences=(5.0,))
        return [sure if seed % 2 else replace(sure, text="so b", answer="b", confidences=()) for seed in range(n)]

    config = DeepConfConfig(samples=8, warmup=4, window=2, keep_share=0.5)
    result = asyncio.run(search_one(PROBLEM, config, components(script)))
    assert (result.answer, result.confidence, result.stopped) == ("a", 1.0, "decided")
