"""Adaptive branching: the sequence of the textbook, node statistics, and where its samples go."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Draws, Script, as_step, components, path_texts, random_script, texts
from support.textbook import textbook_adaptive_branching

from treestar.search import AdaptiveBranchingConfig, SearchResult, search_one
from treestar.types import ContextOverflow, Problem, State, Step

PROBLEM = Problem("which?", answer="1")


def run(config: AdaptiveBranchingConfig, script: Script, rate=lambda state: 0.0, seed: int = 0) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, rate), seed))


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    rollouts=st.integers(1, 25),
    prior=st.sampled_from([0.5, 1.0]),
    distinct=st.sampled_from([2, 5, 1000]),
    share=st.sampled_from([0.1, 0.5]),
    max_depth=st.integers(1, 6),
)
def test_adaptive_branching_is_the_textbook(seed, rollouts, prior, distinct, share, max_depth) -> None:
    mine, theirs = Draws(seed, distinct, share), Draws(seed, distinct, share)
    config = AdaptiveBranchingConfig(max_rollouts=rollouts, beta_prior=prior, max_depth=max_depth)
    tree = run(config, mine.script, lambda state: mine.score(texts(state)), seed).tree
    assert tree is not None
    index = {path_texts(node): node.index for node in tree.nodes}

    def choose(path, rollout):
        """The same random numbers, for the node that the search has at this path."""
        rng = random.Random(tree.choice_seed(tree.nodes[index[path]], rollout))
        return lambda seen: rng.betavariate(prior + sum(seen), prior + len(seen) - sum(seen))

    expected = textbook_adaptive_branching(
        theirs.propose,
        lambda step: step.startswith("so"),
        lambda path: (1 + theirs.score(path)) / 2,
        choose,
        rollouts,
        max_depth,
    )
    found = {path_texts(node): node.multiplicity for node in tree.nodes}
    assert found == {tuple(step or "raise" for step in path): drawn for path, drawn in expected.items()}


@settings(max_examples=80)
@given(seed=st.integers(0, 2**32), rollouts=st.integers(1, 30), share=st.sampled_from([0.1, 0.4]))
def test_visits_and_values_are_those_of_the_subtree(seed: int, rollouts: int, share: float) -> None:
    def rate(state: State) -> float:
        return random.Random(f"{texts(state)}").randrange(-64, 65) / 64

    result = run(AdaptiveBranchingConfig(max_rollouts=rollouts), random_script(share, distinct=4), rate, seed)
    tree = result.tree
    assert tree is not None
    assert result.stats.rollouts == rollouts
    for node in tree.nodes:
        own = 0.0 if node.step is None else (-1.0 if node.score is None else node.score)
        assert node.visits == (node.step is not None) + sum(child.visits for child in node.children)
        assert node.value_sum == own + sum(child.value_sum for child in node.children)
        assert (node.score is None) == (node.step is None or node.terminal in ("error", "truncated", "max_depth"))
        assert node.open_children == sum(not child.closed for child in node.children)
        assert node.closed == (
            node.terminal is not None or (bool(node.children) and all(child.closed for child in node.children))
        )
        if node.children:
            assert abs(sum(child.prior for child in node.children) - 1.0) < 1e-9
            assert sum(child.multiplicity for child in node.children) == node.drawn


def two_first_steps(state: State, n: int, seed: int) -> list[Step]:
    """A first step, good or bad, then two more, then an answer."""
    if not state.steps:
        return [as_step("x = 1" if seed % 4 == 0 else "x = 2")] * n
    if len(state.steps) < 3:
        return [as_step(f"x = {seed % 100}")] * n
    return [as_step(f"so {state.steps[0].text[4:]}")] * n


def test_samples_go_below_what_the_ppm_rates_high() -> None:
    """One first step in four is good; sampled alone it would get a quarter of the trajectories."""

    def rate(state: State) -> float:
        return 0.8 if state.steps[0].text == "x = 1" else -0.8

    result = run(AdaptiveBranchingConfig(max_rollouts=60), two_first_steps, rate)
    assert result.tree is not None
    ends = [path_texts(node)[0] for node in result.tree.terminals()]
    good = {child.step.text: child for child in result.tree.root.children}["x = 1"]  # type: ignore[union-attr]
    assert ends.count("x = 1") > len(ends) / 2
    assert len(good.children) > 2, "it widens where it pays"
    assert result.answer == "1"


def test_progress_is_reported_after_every_step() -> None:
    nodes: list[int] = []
    parts = components(two_first_steps, lambda state: 0.5)
    config = AdaptiveBranchingConfig(max_rollouts=1)
    asyncio.run(search_one(PROBLEM, config, parts, on_progress=lambda search: nodes.append(search.stats.nodes)))
    assert nodes == [2, 3, 4, 5]


def test_a_search_that_cannot_begin_ends() -> None:
    def overflow(state: State, n: int, seed: int) -> list[Step]:
        raise ContextOverflow("too long")

    assert run(AdaptiveBranchingConfig(max_rollouts=1_000_000), overflow).stopped == "exhausted"
