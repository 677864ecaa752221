"""MCTS: exact bookkeeping, both modes, virtual loss, budgets, reproducibility."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import DATA
from support.scripted import Script, SlowPolicy, components, dyadic_score, random_script

from treestar.search import MCTSConfig, Node, SearchResult, Tree, search_many, search_one, select_child
from treestar.search.answer import sampled_mass
from treestar.types import ContextOverflow, Problem, State, Step

PROBLEM = Problem("which?", answer="1")
GOLDEN = DATA / "golden" / "mcts_tree.json"


def search(
    config: MCTSConfig, script: Script, rate: Callable[[State], float] | None = None, seed: int = 0
) -> SearchResult:
    return asyncio.run(search_one(PROBLEM, config, components(script, rate), seed))


def tree_of(*args: object, **kwargs: object) -> Tree:
    tree = search(*args, **kwargs).tree  # type: ignore[arg-type]
    assert tree is not None
    return tree


configs = st.builds(
    MCTSConfig,
    rollouts=st.integers(1, 40),
    children=st.integers(1, 6),
    max_depth=st.integers(1, 6),
    rule=st.sampled_from(["uct", "puct"]),
    exploration=st.sampled_from([0.0, 1.0, 2.0]),
    unvisited_value=st.sampled_from([float("inf"), 0.0]),
    on_error=st.sampled_from(["prune", "penalize"]),
    in_flight=st.integers(1, 5),
    virtual_loss=st.integers(0, 3),
    gold=st.booleans(),
    early_stop=st.booleans(),
    choice=st.sampled_from(["weighted", "majority", "best"]),
    widen_above=st.sampled_from([None, 0.05, 0.3]),
)


@settings(max_examples=150)
@given(config=configs, seed=st.integers(0, 2**32), scored=st.booleans(), share=st.sampled_from([0.05, 0.3, 0.7]))
def test_visits_and_values_add_up(config: MCTSConfig, seed: int, scored: bool, share: float) -> None:
    result = search(config, random_script(share, distinct=5), dyadic_score if scored else None, seed)
    tree = result.tree
    assert tree is not None
    for node in tree.nodes:
        initial = 1 if scored and node.step is not None and not is_terminal_child(node) else 0
        own = 1 if node.terminal is not None else 0
        below = sum(child.visits - initial_visits(child, scored) for child in node.children)
        assert node.visits == initial + own + below
        assert -1.0 <= node.q_value <= 1.0
        assert node.in_flight == 0
        exhausted = bool(node.children) and all(child.closed for child in node.children) and not node.widening
        assert node.closed == (node.terminal is not None or exhausted)
        assert node.open_children == sum(not child.closed for child in node.children)
        if scored or config.gold:  # agreement is a ratio, which floats do not represent exactly
            assert node.value_sum == pytest.approx(float(exact_value(node, config, scored)), abs=1e-9)
        if node.children:
            assert sum(child.prior for child in node.children) == pytest.approx(1.0)
            assert sum(child.multiplicity for child in node.children) <= node.drawn
            assert node.drawn == config.children or (scored and config.widen_above is not None)
        else:
            assert node.terminal is not None or node.visits == initial
    assert result.stats.nodes == len(tree.nodes)
    assert result.stats.rollouts <= config.max_rollouts
    assert Tree.from_json(json.loads(json.dumps(tree.to_json()))).to_json() == tree.to_json()


def is_terminal_child(node: Node) -> bool:
    """Terminal at creation; a dead end becomes terminal only when its expansion fails."""
    return node.terminal is not None and node.terminal not in ("dead_end", "context")


def initial_visits(node: Node, scored: bool) -> int:
    return int(scored and not is_terminal_child(node))


def exact_value(node: Node, config: MCTSConfig, scored: bool) -> Fraction:
    """W from first principles: the node's own PPM score, and the value of every terminal at or below it."""
    total = Fraction(node.score) if node.score is not None and initial_visits(node, scored) else Fraction(0)
    stack = [node]
    while stack:
        each = stack.pop()
        stack += each.children
        if each.terminal is None:
            continue
        if each.terminal != "answer":
            total -= 1
        elif config.gold:
            total += 1 if each.answer == PROBLEM.answer else -1
        else:
            total += sum(Fraction(step.score or 0.0) for step in each.path()) / each.depth
    return total


@given(seed=st.integers(0, 2**32), rule=st.sampled_from(["uct", "puct"]), c=st.sampled_from([0.0, 1.0, 2.0]))
def test_the_chosen_child_maximises_the_rule(seed: int, rule: str, c: float) -> None:
    tree = tree_of(MCTSConfig(max_rollouts=12, children=4, early_stop=False), random_script(0.2), seed=seed)
    for node in tree.nodes:
        chosen = select_child(node, rule, c)  # type: ignore[arg-type]
        candidates = [child for child in node.children if not child.closed]
        if not candidates:
            assert chosen is None
            continue
        rated = [rate(child, node, rule, c) for child in candidates]
        assert chosen is candidates[rated.index(max(rated))]


def rate(child: Node, parent: Node, rule: str, c: float) -> float:
    import math

    if child.visits == 0:
        return math.inf
    if rule == "uct":
        return child.value_sum / child.visits + c * math.sqrt(math.log(max(1, parent.visits)) / child.visits)
    return child.value_sum / child.visits + c * child.prior * math.sqrt(parent.visits) / (1 + child.visits)


def golden_tree() -> Tree:
    config = MCTSConfig(max_rollouts=8, children=3, gold=True, early_stop=False, in_flight=1)
    return tree_of(config, random_script(0.25, distinct=6), seed=11)


def test_golden_tree() -> None:
    """A whole tree equals the stored one. After an intended change, run this file as a program to store it again."""
    assert golden_tree().to_json() == Tree.load(GOLDEN).to_json()


def test_same_tree_alone_and_among_fifty() -> None:
    config = MCTSConfig(max_rollouts=10, children=4, in_flight=3)
    problems = [Problem(f"question {i}", "1") for i in range(50)]
    slow = replace(components(random_script()), policy=SlowPolicy(random_script()))
    together = asyncio.run(search_many(problems, config, slow))
    for problem, result in zip(problems, together, strict=True):
        alone = asyncio.run(search_one(problem, config, components(random_script())))
        assert alone.tree is not None
        assert result.tree is not None
        assert result.tree.to_json() == alone.tree.to_json()


def test_other_seeds_give_other_trees() -> None:
    config = MCTSConfig(max_rollouts=4, children=4)
    assert tree_of(config, random_script(), seed=1).to_json() != tree_of(config, random_script(), seed=2).to_json()


def test_rollouts_in_flight_spread_over_the_tree() -> None:
    """With virtual loss, four concurrent rollouts expand four different children of the root."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step(f"x{i} = 0", f"x{i} = 0") for i in range(n)]

    deep = MCTSConfig(max_rollouts=4, children=4, in_flight=4, max_depth=3)
    tree = tree_of(deep, script)
    assert [len(child.children) for child in tree.root.children] == [4, 4, 4, 4]


def test_four_rollouts_are_in_flight_unless_tokens_are_limited() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step(f"x{i} = 0", f"x{i} = 0") for i in range(n)]

    def widest_wave(config: MCTSConfig) -> int:
        nodes: list[int] = []
        parts = components(script)
        asyncio.run(search_one(PROBLEM, config, parts, on_progress=lambda search: nodes.append(search.stats.nodes)))
        return max(after - before for before, after in itertools.pairwise(nodes))

    assert widest_wave(MCTSConfig(max_rollouts=16, children=4, max_depth=4)) == 16
    assert widest_wave(MCTSConfig(max_rollouts=16, children=4, max_depth=4, in_flight=1)) == 4
    assert widest_wave(MCTSConfig(max_rollouts=16, children=4, max_depth=4, max_generated_tokens=1000)) == 4


def test_duplicates_are_merged_and_weigh_more() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        same = [Step("# add\nx = 1", "# add\nx = 1", log_probability=-1, tokens=2),
                Step("# sum\nx = 1", "# sum\nx = 1  ", log_probability=-1, tokens=2)]  # fmt: skip
        return [*same, Step("x = 2", "x = 2", log_probability=-1, tokens=2)]

    tree = tree_of(MCTSConfig(max_rollouts=1, children=3, max_depth=1), script)
    assert [(child.multiplicity, child.prior) for child in tree.root.children] == [
        (2, pytest.approx(2 / 3)),
        (1, pytest.approx(1 / 3)),
    ]


def test_of_several_wordings_the_most_probable_is_kept() -> None:
    wordings = [("# cats\nx = 4", -3.0), ("# dogs\nx = 4", -1.0), ("# cows\nx = 4", -2.0)]
    steps = [Step(text, text, log_probability=each) for text, each in wordings]
    [child] = tree_of(MCTSConfig(max_rollouts=1, children=3, max_depth=1), lambda state, n, seed: steps).root.children
    assert child.step is steps[1]


def test_failing_steps_are_pruned_or_penalized() -> None:
    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step("raise", "raise"), Step("so 1", ending="answer", answer="1")]

    pruned = tree_of(MCTSConfig(max_rollouts=1, gold=True), script)
    assert [child.terminal for child in pruned.root.children] == ["answer"]
    penalized = tree_of(MCTSConfig(max_rollouts=1, gold=True, on_error="penalize"), script)
    assert [(child.terminal, child.q_value) for child in penalized.root.children] == [("error", -1.0), ("answer", 1.0)]
    assert (penalized.root.visits, penalized.root.value_sum) == (2, 0.0)


def test_paths_that_cannot_go_on_say_why() -> None:
    dead = tree_of(MCTSConfig(max_rollouts=1), lambda state, n, seed: [])
    assert (dead.root.terminal, dead.root.visits, dead.root.value_sum) == ("dead_end", 1, -1.0)
    deep = tree_of(MCTSConfig(max_rollouts=1, children=1, max_depth=2), lambda state, n, seed: [Step("x = 1", "x = 1")])
    assert [node.terminal for node in deep.nodes] == [None, None, "max_depth"]
    cut = tree_of(MCTSConfig(max_rollouts=1, on_error="penalize"), lambda s, n, seed: [Step("x", ending="truncated")])
    assert [child.terminal for child in cut.root.children] == ["truncated"]

    def overflow(state: State, n: int, seed: int) -> list[Step]:
        raise ContextOverflow("too long")

    full = search(MCTSConfig(max_rollouts=3), overflow)
    assert full.tree is not None
    assert (full.tree.root.terminal, full.answer, full.stopped) == ("context", None, "exhausted")


def test_test_time_search_never_reads_the_gold_answer() -> None:
    config = MCTSConfig(max_rollouts=12, children=4)
    trees = [
        asyncio.run(search_one(Problem("q", gold), config, components(random_script()))).tree
        for gold in ("1", "2", None)
    ]
    nodes = [tree.to_json()["nodes"] for tree in trees if tree is not None]
    assert nodes[0] == nodes[1] == nodes[2]


def test_ppm_guides_the_search_to_what_it_rates() -> None:
    """A scorer that prefers one branch draws most visits there, and its terminal scores choose the answer."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if len(state.steps) < 3:
            return [Step(f"x = {i}", f"x = {i}") for i in range(n)]
        return [Step(f"so {state.steps[0].text}{i}", ending="answer", answer=state.steps[0].text) for i in range(n)]

    def rate(state: State) -> float:
        return 0.9 if state.steps[0].text == "x = 2" else -0.9

    result = search(MCTSConfig(max_rollouts=24, children=3), script, rate)
    assert result.tree is not None
    assert max(result.tree.root.children, key=lambda child: child.visits).step.text == "x = 2"  # type: ignore[union-attr]
    assert result.answer == "x = 2"
    assert all(node.score is not None for node in result.tree.nodes[1:])


def test_an_exhausted_tree_is_widened_where_steps_are_probably_unseen() -> None:
    """Three of sixteen candidates at the root are different; the steps after it are always the same."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if state.steps:
            return [Step("so", ending="answer", answer=state.steps[0].text)] * n
        kinds = random.Random(seed).choices(["x = 0", "x = 1", "x = 2", "x = 3"], [13, 1, 1, 1], k=n)
        return [Step(kind, kind) for kind in kinds]

    def rate(state: State) -> float:
        return 0.9 if state.steps[0].text == "x = 3" else -0.9

    def answers(widen_above: float | None) -> list[str | None]:
        config = MCTSConfig(max_rollouts=60, children=2, widen_above=widen_above)
        return [search(config, script, rate, seed).answer for seed in range(20)]

    assert answers(None).count("x = 3") < 8
    assert answers(0.01).count("x = 3") > 16
    result = search(MCTSConfig(max_rollouts=60, children=2, widen_above=0.1), script, rate, 3)
    assert result.stopped == "exhausted"
    assert result.tree is not None
    assert {child.drawn for child in result.tree.root.children} == {4}, "four times the same: the next is hardly new"


@pytest.mark.parametrize(
    ("budget", "name"),
    [({"max_generated_tokens": 50}, "max_generated_tokens"), ({"max_wall_seconds": 1e-9}, "max_wall_seconds")],
)
def test_budgets_end_a_search_with_what_it_has(budget: dict, name: str) -> None:
    config = MCTSConfig(max_rollouts=1000, children=4, early_stop=False, **budget)
    result = search(config, random_script())
    assert result.stopped == name
    assert result.tree is not None
    assert all(node.in_flight == 0 for node in result.tree.nodes)
    if name == "max_generated_tokens":
        assert result.answer is not None
        assert 50 <= result.stats.generated_tokens < 50 + 4 * 4


def test_interruption_ends_a_search_with_what_it_has() -> None:
    stop = Event()

    def interrupt(running: object) -> None:
        if running.stats.rollouts >= 3:  # type: ignore[attr-defined]
            stop.set()

    config, parts = MCTSConfig(max_rollouts=1000, children=4, early_stop=False), components(random_script())
    result = asyncio.run(search_one(PROBLEM, config, parts, stop=stop, on_progress=interrupt))
    assert (result.stopped, result.answer is not None) == ("interrupted", True)
    assert parts.executor.opened[0].closed  # type: ignore[attr-defined]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.3, 0.6, 0.9]), children=st.integers(2, 8))
def test_a_decided_search_would_not_have_changed_its_answer(seed: int, share: float, children: int) -> None:
    config = MCTSConfig(max_rollouts=40, children=children, max_depth=6)
    script = random_script(share, distinct=4)
    stopped, full = search(config, script, seed=seed), search(replace(config, early_stop=False), script, seed=seed)
    assert stopped.answer == full.answer
    assert stopped.stopped in ("decided", full.stopped)
    assert stopped.stats.generated_tokens <= full.stats.generated_tokens


def test_early_stop_saves_what_cannot_matter() -> None:
    """Eight first steps, seven of which end in the same answer, so the result of the eighth cannot matter."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        if state.steps:
            return [Step(f"x = {i}", f"x = {i}") for i in range(n)]
        return [*(Step(f"so 7 {i}", ending="answer", answer="7") for i in range(n - 1)), Step("x = 1", "x = 1")]

    result = search(MCTSConfig(max_rollouts=50, children=8), script)
    assert (result.stopped, result.answer, result.confidence) == ("decided", "7", 1.0)
    assert result.stats.nodes < 50


def test_a_confident_leader_ends_the_search() -> None:
    confident = MCTSConfig(max_rollouts=60, children=6, stop_confidence=0.4, stop_mass=0.2, early_stop=False)
    stopped = search(confident, random_script(0.5))
    full = search(replace(confident, stop_confidence=None), random_script(0.5))
    assert stopped.stopped == "decided"
    assert stopped.confidence >= 0.4
    assert stopped.stats.generated_tokens < full.stats.generated_tokens


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), rollouts=st.integers(1, 30))
def test_sampled_mass_is_a_distribution(seed: int, rollouts: int) -> None:
    """Finished and open paths share a mass of 1 between them."""
    tree = tree_of(
        MCTSConfig(max_rollouts=rollouts, children=4, early_stop=False), random_script(0.2, distinct=4), seed=seed
    )
    ends = [node for node in tree.nodes if not node.children]
    assert sum(sampled_mass(node) for node in ends) == pytest.approx(1.0)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden_tree().to_json(), indent=1) + "\n", encoding="utf-8")
