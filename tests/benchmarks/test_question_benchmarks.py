"""Benchmarks of questions: EM, F1, Acc, the recall of supporting paragraphs by step, pooled and distractor settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support.paths import SHARED, needs_shared
from support.questions import QUESTIONS, question_parts

from treestar.benchmarks.datasets import ProblemSet, load_problems
from treestar.benchmarks.matrix import BenchmarkConfig
from treestar.benchmarks.passages import Passages, passages_for
from treestar.benchmarks.report import render_report
from treestar.benchmarks.results import compute_results, summary
from treestar.benchmarks.runner import add_session, begin_run, run_benchmark
from treestar.benchmarks.task import benchmark_worker
from treestar.components import components_by_kind
from treestar.retrieval import RetrievalConfig
from treestar.training.distill.teacher import ScriptedTeacher
from treestar.types import Policy, Problem, Proposal, Sampling, State, TreestarError
from treestar.verifier import AnswerVerifier
from treestar.verifier.grading.questions import QuestionVerifier
from treestar.workers import LocalWorkers


def line(problem: Problem) -> str:
    return json.dumps({"id": problem.id, "question": problem.question, "answer": problem.answer, **problem.metadata})


@pytest.fixture
def data_set(tmp_path: Path) -> ProblemSet:
    file = tmp_path / "set.jsonl"
    bare = json.dumps({"question": "Why?", "answer": ["so", "thus"], "kind": "qa"})
    file.write_text("\n".join([*map(line, QUESTIONS), bare]) + "\n")
    return load_problems(f"jsonl:{file}")


def test_lines_with_paragraphs_are_questions(data_set: ProblemSet) -> None:
    assert [asdict(each) for each in data_set.problems[:2]] == [asdict(each) for each in QUESTIONS]
    bare = data_set.problems[2]
    assert (bare.kind, bare.answer, bare.metadata["answer_aliases"]) == ("qa", "so", ["thus"])


def results_of(
    sets: ProblemSet,
    passages: Passages,
    out: Path,
    policy: Policy | None = None,
    strategies: tuple[str, ...] = ("greedy",),
    search: Mapping[str, Any] = {"max_depth": 5},
) -> dict[str, Any]:
    """Of a run of the scripted teacher, or of another policy."""
    config = BenchmarkConfig(datasets=(sets.name,), strategies=strategies, samples=1, k=(1,), search=search)
    about = {"name": "teacher", "ppm": None, "num_fewshot": 0}
    worker = benchmark_worker(question_parts(policy), lambda problem: problem.question, about, passages=passages)
    settings = begin_run(out, config, [sets], about, resume=False)
    asyncio.run(run_benchmark(out, config, [sets], LocalWorkers(worker, 2)))
    results = compute_results(out / "samples.jsonl", settings, config)
    assert render_report(results, config, [])
    return results


def test_the_recall_is_that_of_the_questions_whose_paragraphs_are_known(tmp_path: Path) -> None:
    """One question has no paragraph that is known to be supporting; another finds nothing with its words."""
    unmarked = [{"title": "Osby", "text": "Osby is a town."}]
    strange = [{"title": "Wa", "text": "Wa is a town.", "supporting": True}]
    hops = [{"question": "Wa >> kind", "answer": "town"}, {"question": "#1 >> size", "answer": "small"}]
    asked = (
        QUESTIONS[0],
        Problem("What is Osby?", "a town", "unmarked", "qa", {"paragraphs": unmarked, "decomposition": hops[:1]}),
        Problem("Quid est?", "small", "strange", "qa", {"paragraphs": strange, "decomposition": hops}),
    )
    [kept], passages, _ = passages_for([ProblemSet("own", asked, 3, 0)], RetrievalConfig(setting="distractor"))
    results = results_of(kept, passages, tmp_path / "run")
    found = results["results"]["own/greedy"]
    assert [found[f"support_recall@{step},none"] for step in (0, 1)] == [0.25, 1.0]
    assert found["support_recall@0_interval,none"] == [0.0, 0.5]
    assert results["higher_is_better"]["own/greedy"]["support_recall@0"]


class Mute(ScriptedTeacher):
    """The scripted teacher, which never answers the second question unless it is greedy."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        proposal = await super().propose(state, n, sampling, seed)
        if state.problem.id != "three" or sampling.temperature == 0:
            return proposal
        mute = [replace(step, ending="step", answer=None) for step in proposal.steps]
        return replace(proposal, steps=tuple(mute))


def test_the_recall_of_a_tree_search_counts_the_questions_that_it_does_not_answer(tmp_path: Path) -> None:
    [kept], passages, _ = passages_for([ProblemSet("own", QUESTIONS, 2, 0)], RetrievalConfig(setting="distractor"))
    search = {"max_depth": 5, "max_rollouts": 2, "children": 1}
    found = results_of(kept, passages, tmp_path / "run", Mute(), ("greedy", "mcts"), search)["results"]
    greedy, mcts = found["own/greedy"], found["own/mcts/t=1"]
    assert (greedy["acc,none"], mcts["acc,none"]) == (1.0, 0.5)
    assert mcts["support_recall@0,none"] == greedy["support_recall@0,none"]


def test_a_value_that_is_unknown_with_one_seed_is_that_of_the_other() -> None:
    values = {(0, 0): {"acc,none": 0.0}, (0, 1): {"acc,none": 1.0, "support_recall@0,none": 0.5}}
    assert summary(values)["support_recall@0,none"] == 0.5


@pytest.mark.parametrize("setting", ["pooled", "distractor"])
def test_a_run_reports_em_f1_acc_and_recall_by_step(data_set: ProblemSet, tmp_path: Path, setting: str) -> None:
    [kept], passages, left_out = passages_for([data_set], RetrievalConfig(setting=setting, paragraphs=3))
    assert (len(kept.problems), left_out) == (2, 1)
    config = BenchmarkConfig(
        datasets=(kept.name,), strategies=("greedy", "majority"), samples=2, k=(1,), search={"max_depth": 5}
    )
    about = {"name": "teacher", "ppm": None, "num_fewshot": 0, "retrieval": passages.to_json()}
    worker = benchmark_worker(question_parts(), lambda problem: problem.question, about, passages=passages)
    settings = begin_run(tmp_path / "run", config, [kept], about, resume=False)
    asyncio.run(run_benchmark(tmp_path / "run", config, [kept], LocalWorkers(worker, 2)))
    results = compute_results(tmp_path / "run" / "samples.jsonl", settings, config)
    for task, chosen in ((f"{kept.name}/greedy", "none"), (f"{kept.name}/sampling/t=1", "majority")):
        [found] = [each for name, each in results["results"].items() if name.startswith(task)]
        for metric in ("exact_match", "f1", "contains", "acc"):
            assert found[f"{metric},{chosen}"] == 1
        recalls = [found[f"support_recall@{step},none"] for step in range(6)]
        assert recalls == sorted(recalls)
        assert 0 < recalls[0] < 1 == recalls[2]
    report = render_report(results, config, [])
    assert "Acc (gold answer within)" in report
    assert "| supporting paragraphs found by | step 0 | step 1 |" in report
    rows = (tmp_path / "run" / "samples.jsonl").read_text()
    [found] = [row["found"][0] for row in map(json.loads, rows.splitlines()) if row["doc"]["id"] == "two"][:1]
    assert {"Ada Kolb", "Telmar"} <= {title for titles in found for title in titles}
    assert '"paragraphs"' not in rows, "the data set's paragraphs are not repeated"
    add_session(tmp_path / "run", "x", 0.0, [1.0, 3.0, 2.0])
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())[0]["latency_seconds"]["median"] == 2.0


def test_a_set_without_paragraphs_needs_an_index(tmp_path: Path, data_set: ProblemSet) -> None:
    bare = ProblemSet("bare", data_set.problems[2:], 1, 0)
    with pytest.raises(TreestarError, match="no question of bare comes with paragraphs: index a corpus"):
        passages_for([bare], RetrievalConfig())
    [kept], _, left_out = passages_for([bare], RetrievalConfig(retriever=str(tmp_path)))
    assert (kept, left_out) == (bare, 0)


def test_questions_are_compared_as_in_squad_unless_a_verifier_is_given() -> None:
    parts = question_parts(ScriptedTeacher())
    default = components_by_kind(type(parts)(parts.policy, parts.executor, AnswerVerifier()), guided=False)
    assert isinstance(default(QUESTIONS[0]).verifier, QuestionVerifier)
    assert isinstance(default(Problem("1 + 1?", "2")).verifier, AnswerVerifier)
    own = QuestionVerifier()
    given = components_by_kind(type(parts)(parts.policy, parts.executor, own), guided=False)
    assert given(QUESTIONS[0]).verifier is own


@needs_shared("sets")
@pytest.mark.parametrize(("name", "with_paragraphs"), [("hotpotqa", 200), ("2wikimultihopqa", 164), ("musique", 200)])
def test_the_named_sets_are_read(name: str, with_paragraphs: int) -> None:
    found = load_problems(name, SHARED / "sets")
    assert {problem.kind for problem in found.problems} == {"qa"}
    [kept], _, left_out = passages_for([found], RetrievalConfig())
    assert (len(kept.problems), left_out) == (with_paragraphs, 200 - with_paragraphs)


def test_a_named_set_without_its_folder_says_where_it_is_read_from() -> None:
    with pytest.raises(TreestarError, match=r"hotpotqa_200\.jsonl: give its folder with --data-dir"):
        load_problems("hotpotqa")
