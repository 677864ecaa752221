"""The default policy: small, an adapter of a model that is fetched, and right about simple everyday questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.real_model import REAL_MODEL, real_model_path

from treestar import GreedyConfig, MCTSConfig, Solver
from treestar.cli.problem_file import read_problems
from treestar.policy import load_policy
from treestar.policy.models import FETCHABLE, base_to_fetch, policy_path, problems_path, shipped_path
from treestar.policy.models.loading import ModelKind
from treestar.types import TreestarError


@pytest.fixture
def nothing_fetched(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREESTAR_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "name", "base", "size"),
    [
        ("policy", "embedded-base", REAL_MODEL, 20_000_000),
        ("policy", "embedded-taught", "embedded-base", 6_000_000),
        ("policy", "embedded", "embedded-taught", 2_000_000),
        ("PPM", "embedded", "embedded", 1_000_000),
    ],
)
def test_each_is_small_and_names_its_base(kind: ModelKind, name: str, base: str, size: int) -> None:
    folder = shipped_path(kind, name)
    assert folder is not None
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    assert (folder / "adapter_model.safetensors").stat().st_size < size
    assert (folder / "README.md").is_file()
    if kind == "policy":
        assert json.loads((folder / "config.json").read_text())["treestar_format"] == "rstar"


def test_what_has_to_be_fetched_first(nothing_fetched: None, tmp_path: Path) -> None:
    for name in ("embedded", "embedded-taught", "embedded-base", REAL_MODEL):
        assert base_to_fetch(name) == REAL_MODEL
    own = tmp_path / "own"
    own.mkdir()
    (own / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "embedded"}))
    assert base_to_fetch(str(own)) == REAL_MODEL
    (own / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(own)}))
    assert base_to_fetch("toy") is base_to_fetch("Qwen/Qwen3-8B") is base_to_fetch(str(own)) is None
    with pytest.raises(TreestarError, match=f"run `treestar models fetch {REAL_MODEL}`"):
        load_policy("embedded")


def test_a_former_name_is_the_same_policy() -> None:
    assert policy_path("embedded-bootstrap") == policy_path("toy-bootstrap")


@pytest.mark.parametrize("name", ["embedded", "toy", "Qwen/Qwen3-8B"])
def test_the_built_in_problems_have_answers(name: str) -> None:
    problems, faults = read_problems(problems_path(name))
    assert not faults
    assert len(problems) == 6
    assert all(problem.answer for problem in problems)
    assert (problems == read_problems(problems_path("embedded"))[0]) == (name != "toy")


@pytest.mark.real
def test_its_confidence_is_the_chance_of_being_right() -> None:
    """Even an answer without any other is wrong now and then."""
    real_model_path()
    with Solver("embedded", MCTSConfig(max_rollouts=2, children=2)) as solver:
        result = solver.solve("What is 12 + 7 * 3?")
    assert (result.answer, result.other_answers) == ("33", ())
    assert 0.9 < result.confidence < 0.97


@pytest.mark.real
@pytest.mark.parametrize("scorer", ["default", None])
def test_its_ppm_guides_a_search_unless_it_is_turned_off(scorer: str | None) -> None:
    real_model_path()
    with Solver("embedded", MCTSConfig(max_rollouts=2, children=2), scorer) as solver:
        result = solver.solve("What is 12 + 7 * 3?")
    assert (result.stats.scored_tokens > 0) == (scorer is not None)


@pytest.mark.real
def test_it_computes() -> None:
    real_model_path()
    assert base_to_fetch("embedded") is None
    with Solver("embedded", GreedyConfig()) as solver:
        results = solver.solve_many(["What is 12 + 7 * 3?", "what's 15 times 14", "How many days are in 6 weeks?"])
    assert [result.answer for result in results] == ["33", "210", "42"]
    assert FETCHABLE[REAL_MODEL].license == "Apache-2.0"
