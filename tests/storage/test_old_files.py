"""Files of version 0.1 still load and are continued: tests/data/version-0.1 contains such files, some cut off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.evolving import rows_of, scripted_backends
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, random_script

from treestar import MCTSConfig, Problem, Solver, TreestarError
from treestar.ppm import read_trees
from treestar.search import Tree
from treestar.selfevolve.job import load_job
from treestar.selfevolve.rounds import evolve
from treestar.storage.files import read_json

OLD = Path(__file__).parents[1] / "data" / "version-0.1"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, which is the working directory: the job names its problems by relative paths."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_results_file_is_continued(old: Path) -> None:
    out = old / "results.jsonl"
    before = out.read_text()
    out.write_text(before + '{"id": "p2", "quest')
    problems = [Problem(f"question {i}", str(i % 3), id=f"p{i}") for i in range(3)]
    search = MCTSConfig(max_rollouts=4, children=3, widen_above=0.05, in_flight=1)  # the defaults of that time
    parts = {"executor": ScriptedExecutor(), "verifier": ExactVerifier()}
    with Solver(ScriptedPolicy(random_script()), search, **parts) as solver:
        results = solver.solve_many(problems, out)
    assert [result.problem.id for result in results] == ["p0", "p1", "p2"]
    assert out.read_text().startswith(before)
    assert len(out.read_text().splitlines()) == 3
    with (
        Solver(ScriptedPolicy(random_script()), search, seed=1, **parts) as solver,
        pytest.raises(TreestarError, match=r"other settings \(seed\)"),
    ):
        solver.solve_many(problems, out)


def test_a_job_is_continued(old: Path) -> None:
    out = old / "job"
    [sealed] = (out / "round-2" / "trees").glob("*.parquet")
    kept = sealed.read_bytes()
    evolve(load_job(out / "job.yaml"), out, resume=True, backends=scripted_backends())
    assert sealed.read_bytes() == kept
    assert len({row["problem_id"] for row in rows_of(out / "round-2" / "trees")}) == 4
    assert read_json(out / "round-2" / "report.json")["search"]["problems"] == 4


def test_the_trees_of_a_job_are_read(old: Path) -> None:
    trees = read_trees(old / "job")
    assert len(list(trees)) == 4 + 3
    assert trees.skipped == []
    journal = old / "job" / "round-2" / "trees" / "_journal.jsonl"
    [row] = map(json.loads, journal.read_bytes().splitlines()[:-1])  # the last line is half a row
    tree = Tree.load(journal, problem=row["problem_id"])
    assert [node.visits for node in tree.nodes] == [node["visits"] for node in json.loads(row["tree"])["nodes"]]
