"""Preference pairs: the paper's choice of steps, their weights, and trees that agree or disagree."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from math import fsum
from pathlib import Path

import pyarrow.parquet
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_trees import back_up, end, judged_trees
from support.scripted import components, random_script

from treestar.policy.formats import BoundFormat, ChatFormat, RStarFormat, StepFormat, plain_template
from treestar.ppm import Pair, make_pairs, pairs_of_tree
from treestar.ppm.encoding import segments
from treestar.ppm.pairs import state_key
from treestar.ppm.trees import SkippedTree
from treestar.search import MCTSConfig, Node, Tree, search_one
from treestar.training.ppm.dataset import pairs_dataset, write_pairs
from treestar.types import Execution, Problem, State, Step


def plant(question: str = "q?", seed: int = 0) -> Tree:
    tree = Tree(Problem(question, "1", question), "mcts", {}, seed)
    tree.add_root(Execution())
    return tree


def grow(tree: Tree, parent: Node, text: str, *ends: str) -> Node:
    """A child of `parent`; with one end it is a leaf, with several these are leaves below it."""
    node = tree.add_child(parent, Step(text, text), Execution())
    if len(ends) == 1:
        end(node, ends[0])
    for index, how in enumerate(ends if len(ends) > 1 else ()):
        end(tree.add_child(node, Step(f"{text} {how} {index}", "pass"), Execution()), how)
    return node


def texts(pairs: list[Pair], source: str = "step") -> list[tuple[str, str]]:
    return [(pair.chosen.steps[-1].text, pair.rejected.steps[-1].text) for pair in pairs if pair.source == source]


def steps(state: State) -> tuple[str, ...]:
    return tuple(step.text for step in state.steps)


# The pairs of one tree


def test_two_best_are_preferred_to_two_worst() -> None:
    tree = plant()
    for text, ends in {
        "best": ["right", "right", "right"],
        "good": ["right", "right", "wrong"],
        "fair": ["right", "wrong", "wrong"],
        "poor": ["right", "wrong", "wrong", "wrong"],
        "worst": ["wrong", "wrong"],
    }.items():
        grow(tree, tree.root, text, *ends)
    first_step = [pair for pair in pairs_of_tree(tree) if pair.source == "step" and pair.step == 1]
    assert texts(first_step) == [("best", "worst"), ("best", "poor"), ("good", "worst"), ("good", "poor")]
    assert [pair.q_chosen for pair in first_step] == pytest.approx([1, 1, 1 / 3, 1 / 3])
    assert [pair.q_rejected for pair in first_step] == pytest.approx([-1, -1 / 2, -1, -1 / 2])


def test_siblings_that_reach_both_are_ordered_by_q() -> None:
    tree = plant()
    grow(tree, tree.root, "more", "right", "right", "wrong")
    grow(tree, tree.root, "less", "right", "wrong", "wrong")
    assert texts(pairs_of_tree(tree))[:1] == [("more", "less")]
    assert ("less", "more") not in texts(pairs_of_tree(tree))


def test_siblings_of_the_same_q_are_no_pair() -> None:
    tree = plant()
    for text in ("one", "other"):
        grow(tree, tree.root, text, "right", "wrong")
    assert [pair.step for pair in pairs_of_tree(tree) if pair.source == "step"] == [2, 2]


def test_of_equal_q_the_more_visited_is_taken() -> None:
    tree = plant()
    for text, count in {"once": 1, "thrice": 3, "twice": 2}.items():
        grow(tree, tree.root, text, *["right"] * count)
    grow(tree, tree.root, "bad", "wrong")
    assert texts(pairs_of_tree(tree))[:2] == [("thrice", "bad"), ("twice", "bad")]


def test_a_path_without_an_answer_is_no_negative_but_lowers_q() -> None:
    tree = plant()
    grow(tree, tree.root, "right", "right")
    grow(tree, tree.root, "fails", "dead_end")
    assert pairs_of_tree(tree) == []
    grow(tree, tree.root, "mixed", "dead_end", "dead_end", "wrong", "right")
    assert texts(pairs_of_tree(tree))[0] == ("right", "mixed")
    assert pairs_of_tree(tree)[0].q_rejected == -0.5


def test_errors_that_were_penalized_are_no_negatives() -> None:
    config = MCTSConfig(max_rollouts=12, children=4, gold=True, on_error="penalize")
    script = random_script(failure_share=0.4)
    trees = [
        asyncio.run(search_one(Problem(f"{number}?", "1"), config, components(script))).tree for number in range(6)
    ]
    pairs, counts = make_pairs([tree for tree in trees if tree is not None])
    assert any(node.terminal == "error" for tree in trees if tree is not None for node in tree.nodes)
    assert pairs
    assert counts.trees == 6
    assert not [pair for pair in pairs for execution in pair.rejected.executions if execution.error is not None]


def test_trajectories_are_compared_by_their_mean_q() -> None:
    tree = plant()
    good = grow(tree, tree.root, "good", "right", "right", "wrong")
    bad = grow(tree, tree.root, "bad", "right", "wrong", "wrong", "wrong")
    answers = [pair for pair in pairs_of_tree(tree) if pair.source == "answer"]
    assert [(steps(pair.chosen), steps(pair.rejected)) for pair in answers] == [
        (("good", "good right 0"), ("bad", "bad wrong 1")),
        (("good", "good right 0"), ("bad", "bad wrong 2")),
        (("good", "good right 1"), ("bad", "bad wrong 1")),
        (("good", "good right 1"), ("bad", "bad wrong 2")),
    ]
    assert answers[0].q_chosen == pytest.approx((good.q_value + 1) / 2)
    assert answers[0].q_rejected == pytest.approx((bad.q_value - 1) / 2)
    assert {pair.step for pair in answers} == {1}


def test_a_minimum_margin_leaves_close_pairs_out() -> None:
    tree = plant()
    grow(tree, tree.root, "more", "right", "right", "wrong")
    grow(tree, tree.root, "less", "right", "wrong", "wrong")
    margins = [pair.q_chosen - pair.q_rejected for pair in pairs_of_tree(tree)]
    wide = [pair.q_chosen - pair.q_rejected for pair in pairs_of_tree(tree, minimum_margin=1.0)]
    assert wide == [margin for margin in margins if margin >= 1.0]
    assert len(wide) < len(margins)


def beats(value: dict[int, float], one: Node, other: Node, sign: int) -> bool:
    return (sign * value[one.index], one.visits, -one.index) > (sign * value[other.index], other.visits, -other.index)


def expected_pairs(tree: Tree) -> Counter[tuple[str, int, int]]:
    """(source, chosen node, rejected node), by quantifiers: a node is among the two best if fewer than two beat it."""

    def reaches(node: Node, correct: bool) -> bool:
        ends_so = node.terminal == "answer" and node.correct is correct
        return ends_so or any(reaches(child, correct) for child in node.children)

    finished = [node for node in tree.nodes if node.terminal == "answer"]
    q = {node.index: node.q_value for node in tree.nodes}
    mean = {node.index: fsum(q[each.index] for each in node.path()) / max(len(node.path()), 1) for node in tree.nodes}
    places = [("step", node.children, q) for node in tree.nodes] + [("answer", finished, mean)]
    found: Counter[tuple[str, int, int]] = Counter()
    for source, nodes, value in places:
        right = [node for node in nodes if reaches(node, True)]
        wrong = [node for node in nodes if reaches(node, False)]
        best = [node for node in right if sum(beats(value, other, node, 1) for other in right) < 2]
        worst = [node for node in wrong if sum(beats(value, other, node, -1) for other in wrong) < 2]
        found.update(
            (source, one.index, other.index)
            for one in best
            for other in worst
            if value[one.index] > value[other.index] and steps(tree.state(one)) != steps(tree.state(other))
        )
    return found


@settings(max_examples=300)
@given(judged_trees(distinct=True))
def test_the_pairs_of_any_tree_are_those_of_the_definition(tree: Tree) -> None:
    node_of = {steps(tree.state(node)): node.index for node in tree.nodes}
    pairs = pairs_of_tree(tree)
    found = Counter((pair.source, node_of[steps(pair.chosen)], node_of[steps(pair.rejected)]) for pair in pairs)
    assert found == expected_pairs(tree)


@settings(max_examples=300)
@given(judged_trees())
def test_invariants_of_the_pairs_of_any_tree(tree: Tree) -> None:
    pairs = pairs_of_tree(tree)
    groups: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.group].append(pair)
        assert pair.q_chosen > pair.q_rejected
        assert state_key(pair.chosen) != state_key(pair.rejected)
        for state in (pair.chosen, pair.rejected):
            assert state.steps[: len(pair.prefix.steps)] == pair.prefix.steps
            assert len(state.steps) == len(state.executions)
            assert pair.source == "answer" or len(state.steps) == pair.step
    assert fsum(pair.weight for pair in pairs) == pytest.approx(1.0 if pairs else 0.0)
    shares = {fsum(pair.weight for pair in group) for group in groups.values()}
    assert all(share == pytest.approx(1 / len(groups)) for share in shares)
    assert all(len(group) <= 4 and len({pair.weight for pair in group}) == 1 for group in groups.values())


# The pairs of many trees


@settings(max_examples=200)
@given(st.lists(judged_trees(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_the_trees_changes_nothing(trees: list[Tree], rng: random.Random) -> None:
    shuffled = rng.sample(trees, len(trees))
    pairs, counts = make_pairs(trees)
    again, counted = make_pairs(shuffled)
    assert again == pairs
    assert counted.to_json() == counts.to_json()
    assert str(counted) == str(counts)


@settings(max_examples=200)
@given(st.lists(judged_trees(), max_size=6))
def test_no_two_pairs_compare_the_same_states(trees: list[Tree]) -> None:
    pairs, counts = make_pairs(trees)
    compared = [frozenset((state_key(pair.chosen), state_key(pair.rejected))) for pair in pairs]
    assert len(set(compared)) == len(compared)
    every = [pair for tree in trees for pair in pairs_of_tree(tree) if not is_skipped(tree)]
    assert len(pairs) + counts.duplicates + counts.contradictions == len(every)
    assert counts.pairs.total() == len(pairs)
    of_tree: Counter[str] = Counter()
    for pair in pairs:
        of_tree[pair.group.rpartition(":")[0]] += pair.weight  # type: ignore[assignment]
    assert all(weight == pytest.approx(1.0) for weight in of_tree.values())


def is_skipped(tree: Tree) -> bool:
    return len({node.correct for node in tree.nodes if node.terminal == "answer"}) < 2


@given(st.lists(judged_trees(), max_size=4))
def test_the_same_trees_twice_give_the_same_pairs(trees: list[Tree]) -> None:
    assert make_pairs(trees + trees)[0] == make_pairs(trees)[0]


def test_trees_that_agree_give_a_pair_once_and_the_clearer_one() -> None:
    clear, vague = plant(seed=1), plant(seed=2)
    grow(clear, clear.root, "good", "right", "right")
    grow(clear, clear.root, "bad", "wrong", "wrong")
    grow(vague, vague.root, "good", "right", "right", "wrong")
    grow(vague, vague.root, "bad", "wrong", "wrong", "right")
    for trees in ([clear, vague], [vague, clear]):
        pairs, counts = make_pairs(trees)
        [pair] = [pair for pair in pairs if steps(pair.chosen) == ("good",)]
        assert (pair.q_chosen, pair.q_rejected) == (1.0, -1.0)
        assert counts.duplicates >= 1
        assert counts.contradictions == 0


def test_where_trees_contradict_each_other_the_greater_margins_win() -> None:
    one, other = plant(seed=1), plant(seed=2)
    grow(one, one.root, "a", "right", "right")
    grow(one, one.root, "b", "wrong", "wrong")
    grow(other, other.root, "a", "wrong", "wrong", "right")
    grow(other, other.root, "b", "right", "right", "wrong")
    pairs, counts = make_pairs([other, one])
    assert [steps(pair.chosen) for pair in pairs if len(pair.chosen.steps) == 1] == [("a",)]
    assert counts.contradictions == 1
    equal = plant(seed=3)
    grow(equal, equal.root, "a", "wrong", "wrong")
    grow(equal, equal.root, "b", "right", "right")
    pairs, counts = make_pairs([one, equal])
    assert [pair for pair in pairs if len(pair.chosen.steps) == 1] == []
    assert counts.contradictions == 2


def test_the_same_steps_for_another_question_are_another_pair() -> None:
    trees = []
    for question in ("one?", "other?"):
        tree = plant(question)
        grow(tree, tree.root, "good", "right")
        grow(tree, tree.root, "bad", "wrong")
        trees.append(tree)
    pairs, counts = make_pairs(trees)
    assert [pair.problem.question for pair in pairs] == ["one?", "other?"]
    assert counts.duplicates == 2  # in each tree the two steps are also its two trajectories
    assert [pair.weight for pair in pairs] == [1.0, 1.0]


def test_one_big_tree_weighs_as_much_as_a_small_one() -> None:
    small, big = plant("small?"), plant("big?")
    grow(small, small.root, "good", "right", "right")
    grow(small, small.root, "bad", "wrong")
    for number in range(40):
        grow(big, big.root, f"step{number}", "right", "wrong", *["right"] * number)
    pairs, _ = make_pairs([small, big])
    weights: Counter[str] = Counter()
    for pair in pairs:
        weights[pair.problem.question] += pair.weight  # type: ignore[assignment]
    assert weights == pytest.approx({"small?": 1.0, "big?": 1.0})


def test_trees_that_give_nothing_are_counted_with_the_reason() -> None:
    one_outcome, unjudged, equal, good = plant("one?"), plant("two?"), plant("three?"), plant("four?")
    grow(one_outcome, one_outcome.root, "a", "right", "right")
    grow(unjudged, unjudged.root, "a", "right").correct = None
    grow(unjudged, unjudged.root, "b", "wrong")
    for text, value in {"a": -1.0, "b": 1.0}.items():  # a correct answer rated low by a PPM, and a wrong one rated high
        back_up(grow(equal, equal.root, text, "right" if text == "a" else "wrong"), value)
    grow(good, good.root, "a", "right")
    grow(good, good.root, "b", "wrong")
    read = [SkippedTree("cut.json", "unreadable", "JSONDecodeError")]
    pairs, counts = make_pairs(iter([one_outcome, unjudged, equal, good]), read)
    assert len(pairs) == 1
    assert counts.trees == 4
    assert [(each.name, each.reason) for each in counts.skipped] == [
        ("three?", "no pair"),
        ("one?", "one outcome"),
        ("two?", "unjudged"),
        ("cut.json", "unreadable"),
    ]
    assert json.loads(json.dumps(counts.to_json()))["pairs_by_source_and_step"] == {"step": {"1": 1}, "answer": {}}
    assert "4 trees read; 4 gave no pairs (1 no pair, 1 one outcome, 1 unjudged, 1 unreadable)" in str(counts)


# As a data set


def random_pairs(count: int = 8) -> list[Pair]:
    """Pairs of scripted searches, whose trajectories end in code, answers and paragraphs."""
    config = MCTSConfig(max_rollouts=16, children=4, gold=True, early_stop=False)
    found = [
        asyncio.run(search_one(Problem(f"What is {n} + 1?", "1", f"p{n}"), config, components(random_script()))).tree
        for n in range(count)
    ]
    return make_pairs([tree for tree in found if tree is not None])[0]


@pytest.mark.parametrize("form", [RStarFormat(), BoundFormat(), ChatFormat(plain_template)], ids=lambda form: form.name)
def test_prompt_and_continuation_are_the_text_that_the_ppm_reads(form: StepFormat) -> None:
    pairs = random_pairs()
    dataset = pairs_dataset(pairs, form)
    assert len(dataset) == len(pairs) > 20
    for row, pair in zip(dataset, pairs, strict=True):
        assert row["prompt"] + row["chosen"] == "".join(segments(form, pair.chosen))
        assert row["prompt"] + row["rejected"] == "".join(segments(form, pair.rejected))
        assert row["prompt"] == "".join(segments(form, pair.prefix))
        assert row["chosen"] != row["rejected"]
        assert (row["q_chosen"], row["q_rejected"]) == (pair.q_chosen, pair.q_rejected)
        assert (row["step"], row["source"]) == (pair.step, pair.source)
        assert (row["problem_id"], row["weight"]) == (pair.problem.id, pair.weight)
    # TRL's explicit standard preference format: three columns of plain text
    assert {dataset.features[name].dtype for name in ("prompt", "chosen", "rejected")} == {"string"}


def test_parquet_round_trip_is_exact(tmp_path: Path) -> None:
    for pairs in (random_pairs(), []):
        dataset = pairs_dataset(pairs, RStarFormat())
        write_pairs(dataset, tmp_path / "pairs.parquet")
        back = Dataset(pyarrow.parquet.read_table(tmp_path / "pairs.parquet"))
        assert back.features == dataset.features
        assert back.to_dict() == dataset.to_dict()
