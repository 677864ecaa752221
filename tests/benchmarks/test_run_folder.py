"""The folder of a benchmark run: what may be continued there, and what is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.scripted_benchmark import MODEL, config, run

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.runner import add_session, begin_run
from treestar.storage.files import locked, write_json
from treestar.types import Problem, TreestarError


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(TreestarError, match="is in use by another job"):
        run(tmp_path, config())


@pytest.mark.parametrize(
    ("change", "named"),
    [({"samples": 7}, "config.samples"), ({"seeds": 2}, "config.seeds"), ({"search": {}}, "config.search")],
)
def test_a_folder_with_another_configuration_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    run(tmp_path, config())
    with pytest.raises(TreestarError, match="give --resume"):
        run(tmp_path, config())
    with pytest.raises(TreestarError, match=named):
        run(tmp_path, config(**change), resume=True)


def test_samples_without_their_configuration_are_refused(tmp_path: Path) -> None:
    run(tmp_path, config())
    (tmp_path / "config.json").unlink()
    with pytest.raises(TreestarError, match="give --resume"):
        run(tmp_path, config(strategies=("greedy",)))
    with pytest.raises(TreestarError, match=r"config\.json is damaged, so .* cannot be continued"):
        run(tmp_path, config(strategies=("greedy",)), resume=True)


def test_a_run_whose_sessions_are_damaged_says_what_to_do_before_it_begins(tmp_path: Path) -> None:
    run(tmp_path, config())
    provenance = tmp_path / "provenance.json"
    for damaged in ("", "[{", "3"):
        provenance.write_text(damaged)
        with pytest.raises(TreestarError, match=r"provenance\.json is damaged: put it back, or delete it"):
            run(tmp_path, config(), resume=True)
        with pytest.raises(TreestarError, match=r"provenance\.json is damaged"):
            add_session(tmp_path, "treestar bench", 0.0, [1.0])
        assert provenance.read_text() == damaged
    provenance.unlink()
    run(tmp_path, config(), resume=True)
    add_session(tmp_path, "treestar bench", 0.0, [1.0])
    add_session(tmp_path, "treestar bench", 0.0, [2.0])
    assert len(json.loads(provenance.read_text())) == 2


def test_a_run_is_not_continued_with_other_tests_of_the_same_questions(tmp_path: Path) -> None:
    def begin(tests: list[str], resume: bool = True) -> dict[str, Any]:
        problem = Problem("Double a number.", "", "double", "code", {"entry_point": "f", "tests": tests})
        wanted = config(strategies=("greedy",))
        return begin_run(tmp_path, wanted, [ProblemSet("own", (problem,), 1, 0)], MODEL, resume)

    begun = begin(["assert f(2) == 4"], resume=False)
    (tmp_path / "samples.jsonl").touch()
    begin(["assert f(2) == 4"])
    with pytest.raises(TreestarError, match=r"sets\.own\.judged_by"):
        begin(["assert f(2) == 5"])
    del begun["sets"]["own"]["judged_by"]  # as an older version wrote it
    write_json(tmp_path / "config.json", begun)
    begin(["assert f(2) == 5"])


def test_a_line_that_is_no_sample_is_named(tmp_path: Path) -> None:
    run(tmp_path, config())
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(TreestarError, match="line 19, is not a sample"):
        run(tmp_path, config(), resume=True)
