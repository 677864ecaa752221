"""`treestar ppm eval` as users see it: the figures, the files, and messages about bad input."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from support.ppm_trees import save_one_sided_tree, save_telling_trees, telling_tree
from support.tiny_model import save_tiny_model

from treestar.cli import main
from treestar.search import Tree
from treestar.selfevolve.search_phase import TREES
from treestar.storage.table import Row, Table


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call `treestar ppm eval` in this process: exit code, stdout, stderr. It must never end with a traceback."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["treestar", "ppm", "eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return call


@pytest.mark.parametrize("flag", ["--scorer", "--ppm"])
def test_both_names_of_the_option_measure(evaluate, tmp_path: Path, flag: str) -> None:
    trees = tmp_path / "trees"
    trees.mkdir()
    out = tmp_path / "eval"
    code, table, said = evaluate(flag, "toy", "--trees", save_telling_trees(trees), "--out", out)
    assert code == 0, said
    assert re.search(r"pair accuracy +[01]\.\d+", table)
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert evaluation["ppm"] == "toy"
    assert evaluation["pair_accuracy"]["problems"] == 13
    assert (out / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_trees_of_an_evolve_job_are_trees_like_others(evaluate, tmp_path: Path) -> None:
    with Table(tmp_path / "job" / "round-1" / "trees", TREES) as table:
        for number in range(12):
            table.append(row_of(telling_tree(number)))
            if number == 9:
                table.seal()
    (tmp_path / "job" / "round-1" / "phases").mkdir()
    (tmp_path / "job" / "round-1" / "phases" / "search.json").write_text("{}")
    shard = tmp_path / "job" / "round-1" / "trees" / "00000.parquet"

    def problems(trees: Path) -> int:
        code, _, said = evaluate("--scorer", "toy", "--trees", trees, "--out", tmp_path / "eval")
        assert code == 0, said
        return json.loads((tmp_path / "eval" / "evaluation.json").read_text())["pair_accuracy"]["problems"]

    assert problems(tmp_path / "job") == 12
    assert problems(shard) == 10
    shard.write_bytes(shard.read_bytes()[:-9])
    assert problems(tmp_path / "job") == 2


def row_of(tree: Tree) -> Row:
    """A row of the table `trees`; fields that readers of trees do not use are empty."""
    empty = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    values = {name: empty[kind] for name, kind in TREES.columns.items()}
    return {**values, "problem_id": tree.problem.id, "seed": tree.seed, "tree": json.dumps(tree.to_json())}


@pytest.mark.parametrize(
    ("trees", "scorer", "sentence"),
    [
        ("ONESIDED", "./nothing", "there is no such folder"),
        ("ONESIDED", "POLICY", "nothing in the files"),
        ("EMPTY", "toy", "no trees in"),
        ("ONESIDED", "toy", "these trees give no preference pairs"),
    ],
)
def test_bad_input_is_one_clear_sentence(evaluate, trees: str, scorer: str, sentence: str, tmp_path: Path) -> None:
    named = {"POLICY": tmp_path / "policy", "EMPTY": tmp_path / "empty"}
    named["EMPTY"].mkdir()
    save_tiny_model(named["POLICY"])
    named["ONESIDED"] = save_one_sided_tree(tmp_path / "tree.json")
    ended, out, err = evaluate(
        "--trees", named[trees], "--scorer", named.get(scorer, scorer), "--out", tmp_path / "out"
    )
    assert ended == 1, err
    assert sentence in re.sub(r"\s+", " ", out + err)
