"""Old names of settings: accepted with a warning from users, and silently from files that treestar wrote."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy, components, random_script

from treestar import Budget, MajorityConfig, MCTSConfig, Problem, Solver, Tree
from treestar.benchmarks.matrix import BenchmarkConfig, matrix
from treestar.benchmarks.runner import begin_run
from treestar.config.renamed import RENAMED, current_names
from treestar.results_file import settings_of
from treestar.search import SearchConfig, search_one
from treestar.serve.request import Defaults, read_request

SENTENCE = "`rollouts` is now `max_rollouts`; the old name is accepted until 0.3"
OLD_NAMES = {new: old for old, new in RENAMED.items()}


@pytest.fixture
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        yield


def old(values: dict[str, Any]) -> dict[str, Any]:
    """As written by a version before the renaming."""
    renamed = {OLD_NAMES.get(name, name): value for name, value in values.items()}
    if renamed.get("rollouts", 0) is None:
        del renamed["rollouts"]
    return renamed


@pytest.mark.filterwarnings("error::FutureWarning")
def test_every_old_name_is_said_once() -> None:
    for name, new in RENAMED.items():
        with pytest.warns(FutureWarning, match=f"`{name}` is now `{new}`") as caught:
            config = MCTSConfig(**{name: 3})
        assert config == MCTSConfig(**{new: 3})
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_old_names_are_replaced_and_read_with_a_sentence() -> None:
    with pytest.warns(FutureWarning, match=re.escape(SENTENCE)):
        config = replace(MCTSConfig(children=2), rollouts=5)
    assert config == MCTSConfig(children=2, max_rollouts=5)
    with pytest.warns(FutureWarning, match=re.escape(SENTENCE)):
        assert config.rollouts == 5
    with pytest.raises(AttributeError, match="'MCTSConfig' object has no attribute 'rolouts'"):
        config.rolouts  # noqa: B018
    with pytest.raises(TypeError, match="rolouts"):
        MCTSConfig(rolouts=5)


def test_new_names_say_nothing(no_warning: None) -> None:
    config = replace(MCTSConfig(max_rollouts=3), max_wall_seconds=1.5)
    assert pickle.loads(pickle.dumps(config)) == config
    assert isinstance(config, Budget)


def test_requests_by_old_names_are_told_so() -> None:
    messages = [{"role": "user", "content": "What is 1 + 1?"}]
    served = Defaults(MCTSConfig(max_wall_seconds=60), seed=0, has_scorer=False)
    body = {"model": "treestar", "messages": messages, "treestar": {"rollouts": 4, "wall_seconds": 90}}
    request = read_request(json.dumps(body).encode(), served)
    assert request.config == MCTSConfig(max_rollouts=4, max_wall_seconds=60)
    assert request.deprecated[0] == SENTENCE
    assert len(request.deprecated) == 2
    body["treestar"] = {"max_rollouts": 4}
    assert read_request(json.dumps(body).encode(), served).deprecated == ()


def test_old_trees_are_read_without_a_word(no_warning: None, tmp_path: Path) -> None:
    tree = asyncio.run(search_one(Problem("q", "1"), MCTSConfig(max_rollouts=3), components(random_script()))).tree
    assert tree is not None
    before = {**tree.to_json(), "config": old(tree.config)}
    assert "rollouts" in before["config"]
    (tmp_path / "tree.json").write_text(json.dumps(before))
    assert Tree.load(tmp_path / "tree.json").to_json() == tree.to_json()


@pytest.mark.parametrize("search", [MCTSConfig(max_rollouts=4), MajorityConfig(samples=2, max_generated_tokens=99)])
def test_old_results_are_continued_without_a_word(no_warning: None, tmp_path: Path, search: SearchConfig) -> None:
    out, problems = tmp_path / "results.jsonl", [Problem(f"q{i}", id=str(i)) for i in range(2)]

    def solve_all() -> int:
        with Solver(ScriptedPolicy(random_script()), search, None, ScriptedExecutor(), ExactVerifier()) as solver:
            solver.solve_many(problems, out)
            return solver.components.policy.calls  # type: ignore[attr-defined]

    assert solve_all() > 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    settings = settings_of("scripted", None, search, 0)
    for line in lines:
        assert line["settings"].keys() == settings.keys()
        line["settings"] = old(line["settings"])
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert solve_all() == 0


def test_an_old_benchmark_is_continued_without_a_word(no_warning: None, tmp_path: Path) -> None:
    config = BenchmarkConfig(
        datasets=("own",), strategies=("mcts",), search={"max_rollouts": 4, "max_wall_seconds": 2.0}
    )
    before = {**config.to_json(), "search": old(dict(config.search))}
    assert "rollouts" in before["search"]
    assert BenchmarkConfig.from_json(before) == config
    begun = begin_run(tmp_path, config, [], {}, resume=False)
    (tmp_path / "config.json").write_text(json.dumps({**begun, "config": before}))
    (tmp_path / "samples.jsonl").touch()
    assert begin_run(tmp_path, config, [], {}, resume=True) == begun


def test_settings_of_a_benchmark_by_old_names_are_said() -> None:
    with pytest.warns(FutureWarning, match=re.escape(SENTENCE)):
        config = BenchmarkConfig(datasets=("own",), strategies=("mcts", "majority"), search={"rollouts": 4})
    by_method = {cell.method: cell.config for cell in matrix(config)}
    assert by_method["mcts"].max_rollouts == 4
    assert by_method["sampling"].max_rollouts is None, "`samples` says how many"


def test_where_both_names_are_given_the_old_one_wins() -> None:
    told: list[tuple[str, str]] = []
    found = current_names({"a": 1, "max_rollouts": 2, "rollouts": 3}, lambda *names: told.append(names))
    assert found == {"a": 1, "max_rollouts": 3}
    assert told == [("rollouts", "max_rollouts")]
