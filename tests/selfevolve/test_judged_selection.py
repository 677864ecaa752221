"""Selection by the mean score that a judge gives the steps of right trajectories."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.evolving import rows_of, scripted_backends, small_job
from support.random_trees import judged_trees
from support.scripted import ScriptedScorer, texts
from support.scripted_judge import ScriptedJudgeModel

from treestar.config.job_files import job_from_yaml
from treestar.judge import JudgeScorer
from treestar.policy.formats import RStarFormat
from treestar.search import Tree
from treestar.selfevolve.job import Job, SelectionConfig
from treestar.selfevolve.judged import JUDGED, judged_tokens, step_scores
from treestar.selfevolve.rounds import evolve
from treestar.selfevolve.selection import best_trajectories, right_trajectories, select
from treestar.storage.files import read_json
from treestar.types import Scores, State, TreestarError


def rate(state: State) -> float:
    return (sum(map(ord, texts(state)[-1])) % 21 - 10) / 10


def in_cell(tree: Tree) -> Tree:
    tree.problem = replace(tree.problem, metadata={"cell": "cell"})
    return tree


@settings(max_examples=25)
@given(trees=st.lists(judged_trees(questions=2).map(in_cell), max_size=4))
def test_the_best_of_the_right_trajectories_is_selected(
    tmp_path_factory: pytest.TempPathFactory, trees: list[Tree]
) -> None:
    for place, tree in enumerate(trees):
        tree.seed = place
    found = asyncio.run(step_scores(trees, ScriptedScorer(rate), tmp_path_factory.mktemp("round")))
    right = [each for tree in trees for each in right_trajectories(tree)]
    assert found.keys() == {each.key for each in right}
    for each in right:
        steps = [texts(each.state)[: end + 1] for end in range(len(each.state.steps))]
        assert found[each.key] == pytest.approx(
            sum((sum(map(ord, own[-1])) % 21 - 10) / 10 for own in steps) / len(steps)
        )
    for best in best_trajectories(trees, 1, found):
        rivals = [found[each.key] for each in right if each.state.problem == best.state.problem]
        assert best.step_score == max(rivals)
    if right:
        known = {tree.problem.id: "medium" for tree in trees}
        rows = select(1, trees, known, [], SelectionConfig(trajectories=1), RStarFormat(), found).rows  # type: ignore[arg-type]
        assert {(row["problem_id"], row["seed"], row["node"]) for row in rows} == {
            each.key for each in best_trajectories(trees, 1, found)
        }


def test_what_was_scored_is_not_scored_again(tmp_path: Path) -> None:
    model = ScriptedJudgeModel(lambda *_: r"Fine. \boxed{Positive}")
    trees = [tree for tree in some_trees(tmp_path) if right_trajectories(tree)]
    first = asyncio.run(step_scores(trees[:1], JudgeScorer(model), tmp_path))
    asked = len(model.prompts)
    assert judged_tokens(tmp_path) == 2 * asked
    again = asyncio.run(step_scores(trees, JudgeScorer(model), tmp_path))
    assert first.items() <= again.items()
    assert judged_tokens(tmp_path) == 2 * len(model.prompts)
    scored = [json.loads(line) for line in (tmp_path / JUDGED).read_text().splitlines()]
    assert len(scored) == len(again) == sum(len(right_trajectories(tree)) for tree in trees)
    assert model.closed


def some_trees(folder: Path) -> list[Tree]:
    """The trees of a round of a scripted job."""
    out = folder / "trees-of"
    evolve(
        replace(small_job(folder), evaluation=None, rounds=small_job(folder).rounds[:1]),
        out,
        backends=scripted_backends(),
    )
    return [Tree.from_json(json.loads(row["tree"])) for row in rows_of(out / "round-1" / "trees")]


def test_a_job_selects_by_its_judge(tmp_path: Path) -> None:
    kinds: list[object] = []

    class Failing(ScriptedScorer):
        async def score(self, states: Sequence[State]) -> Scores:
            raise TreestarError("the judge is gone")

    def step_scorer(name: str, dtype: object, kind: object) -> ScriptedScorer:
        kinds.append((name, dtype, kind))
        return (Failing if len(kinds) == 1 else ScriptedScorer)(rate)

    job = small_job(tmp_path)
    job = replace(
        job, evaluation=None, rounds=job.rounds[:1], selection=SelectionConfig(trajectories=1, judge="my-judge")
    )
    backends = replace(scripted_backends(), step_scorer=step_scorer)
    with pytest.raises(TreestarError, match="the judge is gone"):
        evolve(job, tmp_path / "out", backends=backends)
    evolve(job, tmp_path / "out", resume=True, backends=backends)
    assert kinds == [("my-judge", None, "judge")] * 2
    folder = tmp_path / "out" / "round-1"
    trees = [Tree.from_json(json.loads(row["tree"])) for row in rows_of(folder / "trees")]
    scored = {(row["problem_id"], row["seed"], row["node"]): row["score"] for row in map(json.loads, lines(folder))}
    expected = {each.key for each in best_trajectories(trees, 1, scored)}
    assert {(row["problem_id"], row["seed"], row["node"]) for row in rows_of(folder / "sft")} == expected
    assert expected != {each.key for each in best_trajectories(trees, 1)}
    assert read_json(folder / "report.json")["selection"]["judged_tokens"] == 0


def lines(folder: Path) -> list[str]:
    return (folder / JUDGED).read_text().splitlines()


def test_a_job_file_names_the_judge_and_its_kind() -> None:
    problems = "problems: {gym: [{family: chain_sum, level: mid, problems: 2}]}\nrounds: [{mode: terminal}]\n"
    job = job_from_yaml(
        Job, f"{problems}selection: {{judge: 'some/model?judge_votes=4', judge_kind: null}}\n", "the job"
    )
    assert (job.selection.judge, job.selection.judge_kind) == ("some/model?judge_votes=4", None)
    with pytest.raises(TreestarError, match="judge_kind"):
        job_from_yaml(Job, f"{problems}selection: {{judge: m, judge_kind: oracle}}\n", "the job")
