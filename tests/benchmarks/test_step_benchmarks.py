"""ProcessBench and PRMBench: the data, the values of steps, the figures, and the commands."""

import asyncio
import json
from collections.abc import Sequence
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import SHARED, needs_shared
from support.scripted import ScriptedScorer
from support.scripted_judge import ScriptedJudgeModel
from support.step_sets import write_prmbench, write_processbench

from treestar.benchmarks import solutions as data
from treestar.benchmarks.first_error import NO_ERROR, first_error
from treestar.benchmarks.prmbench import (
    best_step_threshold,
    prm_score,
    prmbench_report,
    prmbench_results,
    prmbench_summary,
    step_counts,
)
from treestar.benchmarks.processbench import processbench_report, processbench_results, processbench_summary
from treestar.benchmarks.solutions import Solution, load_prmbench, load_processbench, spread, states_of
from treestar.benchmarks.step_values import Valued, begin_valuing, read_values, value_solutions
from treestar.judge import JudgeScorer
from treestar.types import Scores, State, TreestarError


def test_the_first_wrong_step_is_read(tmp_path: Path) -> None:
    write_processbench(tmp_path)
    found = load_processbench(tmp_path, ["gsm8k"])
    assert len(found) == 400
    assert [each.label for each in found[:4]] == [NO_ERROR, 1, NO_ERROR, 0]
    states = states_of(found[1])
    assert [[step.text for step in state.steps] for state in states] == [["a"], ["a", "b"], ["a", "b", "c"]]
    assert states[0].problem.question == "1?"


def test_another_number_of_solutions_is_refused(tmp_path: Path) -> None:
    write_processbench(tmp_path, count=3)
    with pytest.raises(TreestarError, match="3 solutions"):
        load_processbench(tmp_path, ["gsm8k"])
    with pytest.raises(TreestarError, match="no subset 'aime'"):
        load_processbench(tmp_path, ["aime"])
    with pytest.raises(TreestarError, match="cannot be read"):
        load_processbench(tmp_path, ["math"])


def test_a_line_that_is_no_solution_is_named(tmp_path: Path) -> None:
    (tmp_path / "processbench_gsm8k.jsonl").write_text('{"question": "1?", "label": 0}\n')
    with pytest.raises(TreestarError, match="solution 0 of gsm8k has no text"):
        load_processbench(tmp_path, ["gsm8k"])
    for text, place in (("7\n", "line 1"), ("[{}, 7]", "item 2")):
        (tmp_path / "prmbench.jsonl").write_text(text)
        with pytest.raises(TreestarError, match=f"{place}: not an object"):
            load_prmbench(tmp_path, ["circular"])


def test_the_wrong_steps_of_prmbench_count_from_one(tmp_path: Path) -> None:
    write_prmbench(tmp_path)
    found = load_prmbench(tmp_path, ["counterfactual", "circular", "multi_solutions"])
    assert [(each.subset, each.number, each.wrong) for each in found] == [
        ("counterfactual", 0, (0, 2)),
        ("circular", 0, (1,)),
        ("circular", 1, ()),
        ("multi_solutions", 0, ()),
    ]
    assert found[0].question == "1 + 1?"
    with pytest.raises(TreestarError, match="no solution of the class deception"):
        load_prmbench(tmp_path, ["deception"])
    with pytest.raises(TreestarError, match="no class 'typos'"):
        load_prmbench(tmp_path, ["typos"])


def test_the_hub_has_the_problem_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    rows = [{"problem": f"{n}?", "steps": ["a"], "label": -1 if n % 2 else 0} for n in range(400)]
    (tmp_path / "gsm8k.json").write_text(json.dumps(rows))
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: gsm8k\n    path: gsm8k.json\n---\n"
    )
    monkeypatch.setattr(data, "PROCESSBENCH_HUB", str(tmp_path))
    found = load_processbench(None, ["gsm8k"])
    assert (len(found), found[0].question, found[0].label, found[1].label) == (400, "0?", 0, NO_ERROR)


@needs_shared("sets/prmbench.jsonl")
def test_the_real_sets_are_read() -> None:
    found = load_processbench(SHARED / "sets", list(data.PROCESSBENCH_SUBSETS))
    assert len(found) == 3400
    assert sum(each.label == NO_ERROR for each in found if each.subset == "gsm8k") == 193
    classes = load_prmbench(SHARED / "sets", list(data.PRMBENCH_CLASSES))
    assert len(classes) == 3013
    # Some of its errors are at steps that the solutions do not have.
    without = [each.subset for each in classes if not each.wrong]
    assert without.count("multi_solutions") == 165
    assert 165 < len(without) < 180


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 50))
def test_a_part_of_a_set_keeps_its_shares(is_wrong: list[bool], count: int) -> None:
    whole = [Solution("s", n, "q", ("a",), (0,) * each) for n, each in enumerate(is_wrong)]
    chosen = spread(whole, count)
    assert len({each.number for each in chosen}) == len(chosen) == min(count, len(whole))
    share = sum(is_wrong) / len(is_wrong)
    assert abs(sum(bool(each.wrong) for each in chosen) - share * len(chosen)) <= 1
    assert spread(whole, None) == whole


def three() -> list[Solution]:
    return [Solution("gsm8k", n, f"{n}?", ("a", "bb", "ccc"), wrong) for n, wrong in enumerate([(1,), (), (0,)])]


def test_each_step_is_valued_and_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[State] = []

    class Counting(ScriptedScorer):
        async def score(self, states: Sequence[State]) -> Scores:
            asked.extend(states)
            return await super().score(states)

    scorer = Counting(lambda state: -0.1 * len(state.steps[-1].text))
    begin_valuing(tmp_path, "processbench", "scripted", three(), resume=False)
    asyncio.run(value_solutions(tmp_path, scorer, three()[:2]))
    assert read_values(tmp_path)[0] == Valued("gsm8k", 0, (-0.1, -0.2, -0.30000000000000004), (1,), 6, 0)
    with pytest.raises(TreestarError, match="--resume"):
        begin_valuing(tmp_path, "processbench", "scripted", three(), resume=False)
    with pytest.raises(TreestarError, match="scorer"):
        begin_valuing(tmp_path, "processbench", "another", three(), resume=True)
    begin_valuing(tmp_path, "processbench", "scripted", three(), resume=True)
    asked.clear()
    asyncio.run(value_solutions(tmp_path, scorer, three()))
    assert {state.problem.question for state in asked} == {"2?"}
    assert len(read_values(tmp_path)) == 3
    (tmp_path / "config.json").unlink()
    with pytest.raises(TreestarError, match=r"config\.json is damaged, so .* cannot be continued"):
        begin_valuing(tmp_path, "processbench", "another", three(), resume=True)


def test_a_judges_analyses_and_tokens_are_kept(tmp_path: Path) -> None:
    model = ScriptedJudgeModel(
        lambda prompt, _: r"\boxed{Negative}" if "\nbb\n</chunk>" in prompt else r"\boxed{Positive}"
    )
    asyncio.run(value_solutions(tmp_path, JudgeScorer(model), three()[:1]))
    [valued] = read_values(tmp_path)
    assert (valued.values, valued.judged_tokens) == ((1.0, -1.0, 1.0), 3)
    assert json.loads((tmp_path / "samples.jsonl").read_text())["analyses"][1] == r"\boxed{Negative}"
    assert model.closed


def perfect(count: int, subset: str) -> list[Valued]:
    made = []
    for n in range(count):
        label = n % 4 - 1
        made.append(
            Valued(subset, n, tuple(-0.5 if step == label else 0.25 for step in range(3)), (label,) * (label >= 0))
        )
    return made


def test_a_perfect_scorer_scores_everything() -> None:
    results = processbench_results([*perfect(8, "gsm8k"), *perfect(4, "math")], "gsm8k")
    for rule in ("verdict", "chosen"):
        found = results["rules"][rule]
        assert found["mean_f1"] == 1.0
        assert found["subsets"]["math"]["intervals"]["f1"] == (1.0, 1.0)
    assert results["rules"]["chosen"]["mean_f1_of_others"] == 1.0
    assert results["baselines"]["always correct"]["math"]["f1"] == 0.0
    assert results["baselines"]["random"]["math"]["f1"] == pytest.approx(1 / 4)
    report = processbench_report(results, "perfect")
    assert "gsm8k (chosen here) | 6 | 2 | 100.0 (100.0 to 100.0)" in report
    assert "mean without gsm8k" in report
    assert processbench_summary(results)[0] == "verdict (threshold 0): gsm8k 100.0, math 100.0, mean 100.0"


def test_the_threshold_is_chosen_on_one_subset_and_used_on_the_others() -> None:
    shifted = [
        Valued("gsm8k", each.number, tuple(v - 0.4 for v in each.values), each.wrong) for each in perfect(8, "gsm8k")
    ]
    results = processbench_results([*shifted, *perfect(8, "math")], "gsm8k")
    assert results["rules"]["verdict"]["subsets"]["gsm8k"]["f1"] < 1.0
    assert results["rules"]["chosen"]["threshold"] == pytest.approx(-0.525)
    assert results["rules"]["chosen"]["subsets"]["gsm8k"]["f1"] == 1.0
    assert results["rules"]["chosen"]["subsets"]["math"]["error_accuracy"] == 0.0
    given = processbench_results(shifted, "gsm8k", threshold=-0.3)
    assert given["rules"]["given"]["threshold"] == -0.3
    assert given["chosen_on"] is None
    with pytest.raises(TreestarError, match="omnimath"):
        processbench_results(shifted, "omnimath")
    for wrong in (nan, inf, 1.5):
        with pytest.raises(ValueError, match=f"threshold must be at least -1 and at most 1, not {wrong}"):
            processbench_results(shifted, "gsm8k", threshold=wrong)


STEPS = st.lists(
    st.lists(st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=4),
    min_size=1,
    max_size=8,
)


def valued_of(steps: list[list[tuple[float, bool]]]) -> list[Valued]:
    return [
        Valued("circular", n, tuple(value for value, _ in own), tuple(i for i, (_, bad) in enumerate(own) if bad))
        for n, own in enumerate(steps)
    ]


@given(STEPS, st.sampled_from([-0.5, 0.0, 0.2]))
def test_prm_score_is_the_mean_of_two_f1(steps: list[list[tuple[float, bool]]], threshold: float) -> None:
    flat = [(value >= threshold, not bad) for own in steps for value, bad in own]

    def f1(kind: bool) -> float:
        hits = sum(said is kind and right is kind for said, right in flat)
        said, there = sum(said is kind for said, _ in flat), sum(right is kind for _, right in flat)
        return 2 * hits / (said + there) if said + there else 0.0

    counts = step_counts(valued_of(steps), threshold)
    assert counts.sum() == len(flat)
    assert prm_score(counts.sum(axis=0)) == pytest.approx((f1(True) + f1(False)) / 2)


@given(STEPS)
def test_no_threshold_has_a_higher_prm_score(steps: list[list[tuple[float, bool]]]) -> None:
    valued = valued_of(steps)

    def score(threshold: float) -> float:
        return float(prm_score(step_counts(valued, threshold).sum(axis=0)))

    assert score(best_step_threshold(valued)) == pytest.approx(max(map(score, [-2, -0.75, -0.25, 0.25, 0.75, 2])))


def test_the_figures_of_prmbench() -> None:
    valued = [
        Valued("counterfactual", 0, (0.5, -0.5, 0.5), (1,)),
        Valued("counterfactual", 1, (0.5, 0.5), (0,)),
        Valued("multi_solutions", 0, (0.5, -0.5), ()),
    ]
    results = prmbench_results(valued, "counterfactual")
    found = results["rules"]["verdict"]["classes"]
    # Right steps: 3 accepted of 3, and one wrong step accepted; wrong steps: 1 found of 2.
    assert found["counterfactual"]["f1_right"] == pytest.approx(2 * 3 / (2 * 3 + 0 + 1))
    assert found["counterfactual"]["f1_wrong"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 0))
    assert found["multi_solutions"]["accuracy"] == 0.5
    low, high = found["counterfactual"]["intervals"]["prm_score"]
    assert low <= found["counterfactual"]["prm_score"] <= high
    assert results["baselines"]["always correct"]["counterfactual"]["f1_wrong"] == 0.0
    assert results["baselines"]["random"]["counterfactual"]["accuracy"] == 0.5
    report = prmbench_report(results, "scripted")
    assert "| multi_solutions | MS | 1 | 0 |  |  |  | 50.0" in report
    assert "all without counterfactual" in report
    assert prmbench_summary(results)[0].startswith("verdict (threshold 0): ES ")


def test_the_whole_set_is_pooled() -> None:
    valued = [*valued_of([[(0.5, False), (-0.5, True)]]), Valued("deception", 0, (0.5,), (0,))]
    results = prmbench_results(valued, None)
    counts = np.array([1.0, 0.0, 1.0, 1.0])
    assert results["rules"]["verdict"]["all"]["prm_score"] == pytest.approx(float(prm_score(counts)))
    assert list(results["rules"]) == ["verdict"]


def test_first_errors_and_step_thresholds_agree_on_what_is_wrong() -> None:
    [valued] = valued_of([[(0.0, False), (-0.5, True)]])
    assert first_error(valued.values, 0.0) == 1
    assert step_counts([valued], 0.0).tolist() == [[1.0, 0.0, 1.0, 0.0]]
