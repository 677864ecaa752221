"""The tree's JSON form, its networkx view, and answer choice over it."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import math
import pickle
import re
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import ExactVerifier, components, random_script

from treestar.search import AnswerGroups, MCTSConfig, Node, Tree, choose, puct, search_one, uct
from treestar.search.answer import decide
from treestar.types import Execution, Problem, Step, Verifier

texts = st.text(st.characters(), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any tree, with any text in it."""
    tree = Tree(
        Problem(draw(texts), draw(st.none() | texts), draw(texts)), "mcts", {"max_rollouts": 3}, draw(st.integers())
    )
    tree.add_root(Execution(output=draw(texts)))
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from(tree.nodes))
        step = Step(draw(texts), draw(texts), log_probability=draw(numbers), tokens=draw(st.integers(0, 99)))
        node = tree.add_child(parent, step, Execution(draw(texts), draw(st.none() | texts), seconds=draw(numbers)))
        node.prior, node.score, node.value_sum = draw(numbers), draw(st.none() | numbers), draw(numbers)
        node.visits, node.answer = draw(st.integers(0, 1000)), draw(st.none() | texts)
        node.correct, node.terminal = draw(st.none() | st.booleans()), draw(st.none() | st.just("answer"))
    return tree


@settings(max_examples=150)
@given(trees())
def test_json_round_trip_is_exact(tree: Tree) -> None:
    data = tree.to_json()
    assert Tree.from_json(json.loads(json.dumps(data))).to_json() == data


@settings(max_examples=150)
@given(trees())
def test_graphml_can_always_be_written(tree: Tree) -> None:
    graph = tree.to_networkx()
    assert networkx.is_arborescence(graph)
    stream = io.BytesIO()
    networkx.write_graphml(graph, stream)
    stream.seek(0)
    back = networkx.read_graphml(stream, node_type=int)
    assert set(back.nodes) == set(range(len(tree.nodes)))
    assert [back.nodes[node.index]["visits"] for node in tree.nodes] == [node.visits for node in tree.nodes]


@pytest.mark.parametrize("copied", [lambda tree: pickle.loads(pickle.dumps(tree)), copy.deepcopy])
def test_a_tree_of_any_depth_can_be_copied_and_sent_to_another_process(copied: Callable[[Tree], Tree]) -> None:
    """A thought can have a thousand steps, and Python recurses along references."""
    tree = Tree(Problem("How long is a thought?"), "greedy", {}, 0)
    node = tree.add_root(Execution())
    for number in range(2000):
        node = tree.add_child(node, Step(f"step {number}", token_ids=(number,)), Execution())
    sibling = tree.add_child(tree.root, Step("another way"), Execution())
    again = copied(tree)
    assert again.to_json() == tree.to_json()
    assert [each.index for each in again.root.children] == [1, sibling.index]
    assert again.state(again.nodes[2000]) == tree.state(node)
    assert again.nodes[2000].step.token_ids == (1999,)  # type: ignore[union-attr]
    assert again.draw_seed(again.root) == tree.draw_seed(tree.root)


def test_a_searched_tree_as_a_graph_carries_every_statistic(tmp_path: Path) -> None:
    config = MCTSConfig(max_rollouts=6, children=3)
    tree = asyncio.run(search_one(Problem("q", "1"), config, components(random_script()))).tree
    assert tree is not None
    graph = tree.to_networkx()
    assert graph.nodes[0]["visits"] == sum(1 for node in tree.nodes if node.terminal)
    assert networkx.dag_longest_path_length(graph, weight=None, default_weight=1) == max(n.depth for n in tree.nodes)
    optional = {"error", "probability", "score", "terminal", "answer", "correct", "stated_answer"}
    assert all(
        set(graph.nodes[node.index]) | optional >= set(tree.to_json()["nodes"][0]) - {"parent"} for node in tree.nodes
    )
    tree.save(tmp_path / "tree.json")
    assert Tree.load(tmp_path / "tree.json").to_json() == tree.to_json()


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder"])
def test_one_of_several_trees_is_chosen_by_its_problem(kind: str, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    trees = [Tree(Problem("q", id=name), "mcts", {}, seed) for seed, name in enumerate("abcdefgg")]
    texts = [json.dumps(tree.to_json()) for tree in trees]
    path = tmp_path / f"trees.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(texts))
    elif kind == "parquet":
        write_table(pyarrow.table({"tree": texts}), path)
    else:
        path.mkdir()
        for tree in trees:
            tree.save(path / f"{tree.problem.id}-{tree.seed}.json")
    assert Tree.load(path, problem="c").to_json() == trees[2].to_json()
    for problem, sentence in (
        (None, "holds several trees: choose one with problem=ID, where ID is 'a', 'b', 'c', 'd', 'e', ..."),
        ("x", "holds no tree of problem 'x'; it holds those of 'a', 'b', 'c', 'd', 'e', ..."),
        ("g", "holds several trees of problem 'g', with the seeds 6, 7: read all of them with treestar.ppm.read_trees"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"{path} {sentence}")):
            Tree.load(path, problem=problem)


def test_a_file_with_one_tree_needs_no_name_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    tree = Tree(Problem("q", id="a"), "mcts", {}, 0)
    for name in ("tree.jsonl", "tree"):
        tree.save(tmp_path / name)
        assert Tree.load(tmp_path / name).to_json() == Tree.load(tmp_path / name, problem="a").to_json()
    (tmp_path / "cut.jsonl").write_text(json.dumps(tree.to_json()) + '\n{"problem"')
    with pytest.raises(ValueError, match=r"cut\.jsonl, line 2 is not a tree: JSONDecodeError"):
        Tree.load(tmp_path / "cut.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match=r"empty\.jsonl holds no tree$"):
        Tree.load(tmp_path / "empty.jsonl")
    with pytest.raises(FileNotFoundError):
        Tree.load(tmp_path / "missing.json")


def test_the_config_is_plain_json() -> None:
    assert MCTSConfig().to_json()["unvisited_value"] == "inf"
    json.dumps(MCTSConfig().to_json(), allow_nan=False)


def test_rules_are_their_equations() -> None:
    assert uct(3.0, 4, 9, 2.0) == 0.75 + 2.0 * math.sqrt(math.log(9) / 4)
    assert puct(0.5, 3, 16, 0.25, 2.0) == 0.5 + 2.0 * 0.25 * 4 / 4
    assert uct(1.0, 1, 0, 2.0) == 1.0


def finished(*answers: tuple[str, float | None, int], verifier: Verifier | None = None) -> AnswerGroups:
    """Groups of terminal nodes given as (answer, score, multiplicity)."""
    groups = AnswerGroups(verifier or ExactVerifier())
    tree = Tree(Problem("q"), "mcts", {}, 0)
    root = tree.add_root(Execution())
    for answer, score, multiplicity in answers:
        node = tree.add_child(root, Step(answer, log_probability=-float(len(tree.nodes)), tokens=1), Execution())
        node.answer, node.score, node.multiplicity = answer, score, multiplicity
        asyncio.run(groups.add(node))
    return groups


@pytest.mark.parametrize("choice", ["weighted", "best"])
def test_a_trajectory_of_a_thousand_good_steps_has_a_weight(choice: str) -> None:
    groups = finished(("a", 1000.0, 1), ("b", 1.0, 1))
    node, confidence = choose(groups, choice) or (None, 0.0)  # type: ignore[arg-type]
    assert node is not None
    assert (node.answer, confidence) == ("a", 1.0)


def chosen(groups: AnswerGroups, choice: str) -> tuple[str | None, float]:
    found = choose(groups, choice)  # type: ignore[arg-type]
    assert found is not None
    node: Node = found[0]
    return node.answer, found[1]


class PercentVerifier(ExactVerifier):
    """Reads 50% as 50 and as 0.5, which differ."""

    async def equivalent(self, first: str, second: str) -> bool:
        return first == second or ("50%" in (first, second) and "7" not in (first, second))


@pytest.mark.parametrize("order", list(permutations(["50%", "50", "0.5", "7"])))
def test_groups_do_not_depend_on_the_order_of_the_answers(order: tuple[str, ...]) -> None:
    groups = finished(*[(answer, None, 1) for answer in order], verifier=PercentVerifier())
    assert {frozenset(node.answer for node in group.members) for group in groups.groups} == {
        frozenset(["50%", "50", "0.5"]),
        frozenset(["7"]),
    }
    assert sum(group.mass for group in groups.groups) == pytest.approx(groups.mass)
    assert all(node in groups.group_of[node.answer].members for group in groups.groups for node in group.members)


def test_choices() -> None:
    groups = finished(("a", -0.8, 1), ("b", 0.9, 1), ("a", -0.6, 1))
    assert chosen(groups, "majority") == ("a", pytest.approx(2 / 3))
    assert chosen(groups, "weighted") == (
        "b",
        pytest.approx(math.exp(0.9) / (math.exp(0.9) + math.exp(-0.8) + math.exp(-0.6))),
    )
    assert chosen(groups, "best")[0] == "b"
    assert chosen(finished(("a", None, 1), ("b", None, 3)), "weighted") == ("b", 0.75)
    assert chosen(finished(("a", None, 1), ("b", None, 1)), "majority")[0] == "a", "ties go to the first found"
    assert chosen(finished(("a", None, 1), ("b", None, 1)), "best")[0] == "a", "the higher mean log-probability"
    assert chosen(finished(("a", 0.5, 3), ("b", 0.5, 1)), "weighted") == ("a", 0.75), (
        "what the policy samples more often"
    )
    assert choose(AnswerGroups(ExactVerifier()), "weighted") is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1, 1) | st.none(), st.integers(1, 4)), min_size=1, max_size=9)
)
def test_confidence_is_a_share(answers: list[tuple[str, float | None, int]]) -> None:
    groups = finished(*answers)
    for choice in ("weighted", "majority", "best"):
        decision = decide(groups, choice)  # type: ignore[arg-type]
        assert decision is not None
        answer, confidence = decision.node.answer, decision.confidence
        assert (decision.node, confidence) == choose(groups, choice)  # type: ignore[arg-type]
        assert 0.0 <= confidence <= 1.0
        assert answer in {each[0] for each in answers}
        assert {answer, *(other for other, _ in decision.others)} == {each[0] for each in answers}
        assert confidence + sum(share for _, share in decision.others) == pytest.approx(1.0)
    assert sum(groups.agreement(group) + 1 for group in groups.groups) == pytest.approx(2.0)
