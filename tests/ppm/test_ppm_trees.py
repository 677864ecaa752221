"""Reading folders of trees: what is whole is read, what is not is named, and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_trees import end, judged_trees

from treestar.ppm.pairs import pairs_of_tree
from treestar.ppm.trees import outcomes, read_trees, skip_reason
from treestar.search import Tree
from treestar.types import Execution, Problem, Step, TreestarError


def small_tree(name: str = "p", ends: tuple[str, ...] = ("right", "wrong")) -> Tree:
    tree = Tree(Problem(f"{name}?", "1", name), "mcts", {}, 0)
    root = tree.add_root(Execution())
    for index, how in enumerate(ends):
        end(tree.add_child(root, Step(f"x = {index}", f"x = {index}"), Execution()), how)
    return tree


def line(tree: Tree) -> str:
    return json.dumps(tree.to_json())


def test_folders_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    small_tree("c").save(tmp_path / "seed-0" / "c.json")
    small_tree("b").save(tmp_path / "b.json")
    (tmp_path / "a.jsonl").write_text(line(small_tree("a1")) + "\n\n" + line(small_tree("a2")) + "\n")
    (tmp_path / "notes.txt").write_text("no tree, and not looked at")
    trees = read_trees(tmp_path)
    for _ in range(2):
        assert [tree.problem.id for tree in trees] == ["a1", "a2", "b", "c"]
        assert trees.skipped == []
    assert [tree.problem.id for tree in read_trees(tmp_path / "a.jsonl")] == ["a1", "a2"]


def changed(**fields: Any) -> str:
    """A tree whose last node has other values."""
    data = small_tree().to_json()
    data["nodes"][-1].update(fields)
    return json.dumps(data)


BROKEN = {
    "empty": "",
    "truncated": line(small_tree())[:-40],
    "no object": "[1, 2]",
    "a string": '"tree"',
    "settings of something else": '{"policy": "embedded", "seed": 0}',
    "no nodes": json.dumps({**small_tree().to_json(), "nodes": []}),
    "nodes are words": json.dumps({**small_tree().to_json(), "nodes": ["a", "b"]}),
    "no problem": json.dumps({**small_tree().to_json(), "problem": {"text": "?"}}),
    "a question that is no text": json.dumps({**small_tree().to_json(), "problem": {"question": 3}}),
    "a field is missing": line(small_tree()).replace('"visits"', '"n"'),
    "two roots": changed(parent=None),
    "a parent that comes later": changed(parent=9),
    "a parent before the first": changed(parent=-1),
    "visits that are no number": changed(visits="2"),
    "a value that is not finite": changed(value_sum=float("nan")),
    "a score that is no number": changed(score="high"),
    "correct that is no truth value": changed(correct="yes"),
    "text that is no text": changed(text=None),
    "nested beyond measure": "[" * 100_000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_is_no_whole_tree_is_skipped_and_named(tmp_path: Path, text: str) -> None:
    small_tree("whole").save(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(text)
    (tmp_path / "c.jsonl").write_text(f"{line(small_tree('first'))}\n{text}")
    trees = read_trees(tmp_path)
    assert [tree.problem.id for tree in trees] == ["whole", "first"]
    expected = ["b.json", "c.jsonl, line 2"] if text else ["b.json"]
    assert [(each.name, each.reason) for each in trees.skipped] == [(name, "unreadable") for name in expected]
    assert all(each.detail for each in trees.skipped)


def test_bytes_that_are_no_text_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.jsonl").write_bytes(line(small_tree("first")).encode() + b"\n\xff\xfe\n")
    trees = read_trees(tmp_path)
    assert len(list(trees)) <= 1  # a text file is decoded in blocks, the first line may be lost with the second
    assert [each.name for each in trees.skipped] == ["a.json", "b.jsonl"]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_trees_is_a_clear_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TreestarError, match=f"no trees in .*{folder}: give a folder"):
        read_trees(tmp_path / folder)


@settings(max_examples=60, deadline=None)
@given(judged_trees(), st.data())
def test_a_tree_cut_anywhere_is_skipped(tree: Tree, data: st.DataObject) -> None:
    text = line(tree)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with TemporaryDirectory() as folder:
        Path(folder, "tree.json").write_text(cut)
        trees = read_trees(folder)
        assert (list(trees), len(trees.skipped)) == ([], 1)


junk = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=200, deadline=None)
@given(judged_trees(size=5), st.data())
def test_a_tree_with_any_field_replaced_is_used_or_skipped(tree: Tree, data: st.DataObject) -> None:
    content = tree.to_json()
    node = data.draw(st.sampled_from(content["nodes"]))
    where = data.draw(st.sampled_from([node, content["problem"], content]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(junk)
    with TemporaryDirectory() as folder:
        Path(folder, "tree.json").write_text(json.dumps(content))
        trees = read_trees(folder)
        found = list(trees)
        assert len(found) + len(trees.skipped) == 1
        for each in found:
            skip_reason(each)
            pairs_of_tree(each)


@settings(max_examples=100, deadline=None)
@given(judged_trees())
def test_outcomes_count_the_trajectories_below_each_node(tree: Tree) -> None:
    def ends(node: Any) -> list[Any]:
        return [node] if node.terminal else [leaf for child in node.children for leaf in ends(child)]

    for node, found in zip(tree.nodes, outcomes(tree), strict=True):
        leaves = ends(node)
        assert found.correct == sum(leaf.correct is True for leaf in leaves)
        assert found.wrong == sum(leaf.correct is False for leaf in leaves)
        assert found.unanswered == sum(leaf.terminal == "dead_end" for leaf in leaves)
        assert found.ended == len(leaves)
        if leaves:
            assert found.success_rate == pytest.approx(found.correct / len(leaves))


def test_an_answer_that_did_not_come_back_is_no_outcome() -> None:
    tree = small_tree(ends=("right", "wrong", "wrong"))
    tree.nodes[1].terminal = "unrepeatable"
    at_root = outcomes(tree)[0]
    assert (at_root.correct, at_root.wrong, at_root.unanswered) == (0, 2, 1)
    assert skip_reason(tree) == "one outcome"


def test_why_a_tree_gives_no_pairs() -> None:
    assert skip_reason(small_tree()) is None
    assert skip_reason(small_tree(ends=("right", "right", "dead_end"))) == "one outcome"
    assert skip_reason(small_tree(ends=("wrong",))) == "one outcome"
    assert skip_reason(small_tree(ends=())) == "one outcome"
    unjudged = small_tree()
    unjudged.nodes[1].correct = None
    assert skip_reason(unjudged) == "unjudged"
