"""MCTS with one rollout in flight beside a textbook one: the same visits, values and children."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import components, dyadic_score
from support.textbook import textbook_mcts

from treestar.search import MCTSConfig, Node, search_one
from treestar.types import Problem, State, Step

PROBLEM = Problem("which?", answer="1")


def same_shape(node: Node, other: dict) -> bool:
    """Whether a treestar node and a textbook node agree in visits, value and children, all the way down."""
    children = other["children"] or []
    return (
        (node.visits, node.value_sum) == (other["N"], other["W"])
        and len(node.children) == len(children)
        and all(same_shape(mine, theirs) for mine, theirs in zip(node.children, children, strict=True))
    )


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rollouts=st.integers(1, 60),
    children=st.integers(1, 5),
    c=st.sampled_from([0.0, 0.5, 2.0]),
    max_depth=st.integers(1, 5),
    answer_share=st.sampled_from([0.0, 0.2, 0.6]),
    scored=st.booleans(),
)
def test_one_rollout_in_flight_is_the_textbook(seed, rollouts, children, c, max_depth, answer_share, scored) -> None:
    def steps_at(path: list[str], n: int) -> list[Step]:
        rng = random.Random(f"{seed}/{path}")
        texts = dict.fromkeys(f"x = {rng.randrange(99)}" for _ in range(n - (rng.random() < 0.1) * n))
        return [
            Step(f"so {rng.randrange(2)}; {text}", text, "answer", str(rng.randrange(2)))
            if rng.random() < answer_share
            else Step(text, text)
            for text in texts
        ]

    def script(state: State, n: int, draw: int) -> list[Step]:
        return steps_at([step.text for step in state.steps], n)

    def value(step: Step) -> float | None:
        return None if step.answer is None else (1.0 if step.answer == PROBLEM.answer else -1.0)

    def score(path: list[Step]) -> float:
        return dyadic_score(State(PROBLEM, tuple(path)))

    config = MCTSConfig(
        max_rollouts=rollouts,
        children=children,
        exploration=c,
        max_depth=max_depth,
        gold=True,
        early_stop=False,
        widen_above=None,
        in_flight=1,
    )
    parts = components(script, dyadic_score if scored else None)
    tree = asyncio.run(search_one(PROBLEM, config, parts, 0)).tree
    assert tree is not None
    expected = textbook_mcts(
        lambda path: steps_at([step.text for step in path], children),
        value,
        rollouts,
        c,
        max_depth,
        score if scored else None,
    )
    assert same_shape(tree.root, expected)
