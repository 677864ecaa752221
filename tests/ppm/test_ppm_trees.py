"""Reading folders of trees: complete trees are read, others are named, and nothing raises."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_trees import end, judged_trees

from treestar.ppm.pairs import pairs_of_tree
from treestar.ppm.trees import TreeFolder, outcomes, read_trees, skip_reason
from treestar.search import Tree
from treestar.storage.table import Row, Schema, Table
from treestar.types import Execution, Problem, Step, TreestarError

TREES = Schema("trees", {"problem_id": "string", "seed": "int64", "tree": "string"}, key=("problem_id", "seed"))


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
    "settings of something else": '{"policy": "toy", "seed": 0}',
    "no nodes": json.dumps({**small_tree().to_json(), "nodes": []}),
    "nodes are words": json.dumps({**small_tree().to_json(), "nodes": ["a", "b"]}),
    "no problem": json.dumps({**small_tree().to_json(), "problem": {"text": "?"}}),
    "a question that is not a string": json.dumps({**small_tree().to_json(), "problem": {"question": 3}}),
    "a field is missing": line(small_tree()).replace('"visits"', '"n"'),
    "two roots": changed(parent=None),
    "a parent that comes later": changed(parent=9),
    "a parent before the first": changed(parent=-1),
    "visits that are not a number": changed(visits="2"),
    "a value that is not finite": changed(value_sum=float("nan")),
    "a score that is not a number": changed(score="high"),
    "correct that is not a boolean": changed(correct="yes"),
    "text that is not a string": changed(text=None),
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
    assert [tree.problem.id for tree in trees] == ["first"]
    assert [each.name for each in trees.skipped] == ["a.json", "b.jsonl, line 2"]


def tree_row(tree: Tree) -> Row:
    return {"problem_id": tree.problem.id, "seed": tree.seed, "tree": line(tree)}


def filled_table(folder: Path, names: Sequence[str], sealed: int) -> Path:
    """A table of trees; the first `sealed` are in shards of two, the others in the journal."""
    with Table(folder, replace(TREES, name=folder.name)) as table:
        for count, name in enumerate(names, start=1):
            table.append(tree_row(small_tree(name)))
            if count in (2, sealed):
                table.seal()
    return folder


def ids(trees: TreeFolder) -> list[str]:
    return [tree.problem.id for tree in trees]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The folder of an evolve job as it is laid out on disk, with a round that is not finished."""
    out = tmp_path / "out"
    filled_table(out / "round-1" / "trees", ["a", "b", "c", "d"], sealed=4)
    filled_table(out / "round-2" / "trees", ["a", "e", "f", "g"], sealed=3)
    for name in ("sft", "pairs", "evaluation"):
        filled_table(out / "round-1" / name, ["x"], sealed=1)
    filled_table(out / "round-0" / "evaluation", ["x"], sealed=0)
    for file in ("round-0/phases/evaluation.json", "round-0/report.json", "round-1/phases/search.json"):
        (out / file).parent.mkdir(exist_ok=True)
        (out / file).write_text("{}")
    (out / "round-1" / "policy").mkdir()
    (out / "round-1" / "policy" / "config.json").write_text("{}")
    (out / "job.yaml").write_text("seed: 0\n")
    return out


def test_the_trees_of_an_evolve_job_are_read(job: Path) -> None:
    for _ in range(2):
        trees = read_trees(job)
        assert (ids(trees), trees.skipped) == (["a", "b", "c", "d", "a", "e", "f", "g"], [])
    assert ids(read_trees(job / "round-2")) == ids(read_trees(job / "round-2" / "trees")) == ["a", "e", "f", "g"]
    assert ids(read_trees(job / "round-1" / "trees" / "00001.parquet")) == ["c", "d"]
    assert ids(read_trees(job / "round-2" / "trees" / "_journal.jsonl")) == ["g"]
    for other in ("round-0", "round-1/sft", "round-1/evaluation", "round-1/policy/missing"):
        with pytest.raises(TreestarError, match=f"no trees in .*{other}"):
            read_trees(job / other)


def test_reading_changes_nothing_in_the_job(job: Path) -> None:
    journal = job / "round-2" / "trees" / "_journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"problem_id": "cut o')
    (job / "round-2" / "trees" / "_00002.parquet.partial").write_bytes(b"half a shard")
    before = {file: file.read_bytes() for file in job.rglob("*") if file.is_file()}
    trees = read_trees(job / "round-2")
    assert (ids(trees), trees.skipped) == (["a", "e", "f", "g"], [])
    assert {file: file.read_bytes() for file in job.rglob("*") if file.is_file()} == before


def test_a_row_in_shard_and_journal_is_read_once(job: Path) -> None:
    folder = job / "round-2" / "trees"
    journal = (folder / "_journal.jsonl").read_bytes()
    with Table(folder, TREES) as table:
        table.seal()
    (folder / "_journal.jsonl").write_bytes(journal)  # killed before the journal was emptied
    assert ids(read_trees(folder)) == ["a", "e", "f", "g"]
    (folder / "_manifest.json").unlink()  # and before the shard was listed
    assert ids(read_trees(folder)) == ["a", "e", "f", "g"]
    (folder / "00002.parquet").write_bytes(b"half a shard")
    trees = read_trees(folder)
    assert (ids(trees), [each.name for each in trees.skipped]) == (["a", "e", "f", "g"], ["00002.parquet"])


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "journal"])
def test_damaged_shards_are_skipped_and_named(damage: str, job: Path) -> None:
    folder = job / "round-2" / "trees"
    shard = folder / ("_journal.jsonl" if damage == "journal" else "00000.parquet")
    content = bytearray(shard.read_bytes())
    if damage == "missing":
        shard.unlink()
    else:
        content[100] ^= 255
        shard.write_bytes(content[:90] + b"\n" if damage in ("cut", "journal") else content)
    trees = read_trees(job)
    assert ids(trees) == [*"abcd", *("aef" if damage == "journal" else "fg")]
    [skipped] = trees.skipped
    assert skipped.name.startswith(f"round-2/trees/{shard.name}")
    assert (skipped.reason, bool(skipped.detail)) == ("unreadable", True)


def test_parquet_files_from_elsewhere_need_a_column_of_trees(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    small_tree("json").save(tmp_path / "_json.json")
    write_table(
        pyarrow.table({"tree": [line(small_tree("a")), "{}", None, line(small_tree("b"))]}), tmp_path / "a.parquet"
    )
    write_table(pyarrow.table({"text": ["?"]}), tmp_path / "b.parquet")
    trees = read_trees(tmp_path)
    assert ids(trees) == ["json", "a", "b"]
    assert {each.name: each.detail for each in trees.skipped}["b.parquet"] == "it has no column 'tree'"
    assert [each.name for each in trees.skipped] == ["a.parquet, row 2", "a.parquet, row 3", "b.parquet"]


def test_a_copied_table_may_have_another_name(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(job / "round-1" / "trees", tmp_path / "mine" / "first")
    small_tree("z").save(tmp_path / "mine" / "z.json")
    assert ids(read_trees(tmp_path / "mine")) == ["a", "b", "c", "d", "z"]
    monkeypatch.chdir(job / "round-2" / "trees")
    assert ids(read_trees(".")) == ["a", "e", "f", "g"]


def test_parquet_without_pyarrow_says_what_to_install(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TreestarError, match=r"pip install 'treestar\[train\]'"):
        list(read_trees(job))


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_folder_without_trees_is_a_clear_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TreestarError, match=f"no trees in .*{folder}: give a folder"):
        read_trees(tmp_path / folder)


@settings(max_examples=60)
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


@settings(max_examples=200)
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
