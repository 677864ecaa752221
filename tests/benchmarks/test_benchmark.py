"""The runner and the figures from its samples, with a scripted policy whose trajectories are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import pytest
from support.scripted import components, random_script
from support.scripted_benchmark import LEVELS, MODEL, config, problem_set, run, scripted_workers

from treestar.benchmarks.matrix import BenchmarkConfig, matrix
from treestar.benchmarks.plots import draw_plots
from treestar.benchmarks.report import render_report
from treestar.benchmarks.runner import begin_run, run_benchmark
from treestar.benchmarks.samples import Row, iter_rows, make_row
from treestar.benchmarks.task import BenchmarkTask, open_benchmark_worker
from treestar.policy import load as policy_loading
from treestar.search import STRATEGIES, MajorityConfig, search_one
from treestar.types import Problem, State, Step, TreestarError
from treestar.verifier import AnswerVerifier

FULL = {"temperatures": (0.5, 1.0), "seeds": 2, "budget_tokens": (20, 60)}


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    wanted = config(**FULL)
    run(tmp_path / "whole", wanted)
    for sessions, stop in enumerate((1, 7, 20)):
        with pytest.raises(RuntimeError, match="killed"):
            run(tmp_path / "cut", wanted, stop, resume=sessions > 0, concurrency=sessions + 1)
        with (tmp_path / "cut" / "samples.jsonl").open("a") as file:
            file.write('{"cell": "own/gre')  # left by a kill in the middle of a write
    run(tmp_path / "cut", wanted, resume=True, concurrency=64)
    one, other = [(tmp_path / name / "results.json").read_bytes() for name in ("whole", "cut")]
    assert one == other
    rows = [list(iter_rows(tmp_path / name / "samples.jsonl")) for name in ("whole", "cut")]
    assert len(rows[0]) == len(rows[1]) == len(matrix(wanted)) * 6


def test_each_sample_is_made_once(tmp_path: Path) -> None:
    run(tmp_path, config())
    cells = [row["cell"] for row in iter_rows(tmp_path / "samples.jsonl")]
    assert {cell: cells.count(cell) for cell in cells} == {
        "own/greedy/seed=0": 6,
        "own/sampling/t=1/seed=0": 6,
        "own/mcts/t=1/seed=0": 6,
    }


def test_a_line_holds_what_is_needed_to_grade_again(tmp_path: Path) -> None:
    run(tmp_path, config())
    for row in iter_rows(tmp_path / "samples.jsonl"):
        assert row["arguments"] == [f"Q: {row['doc']['question']}"]
        columns = ("resps", "filtered_resps", "right", "group", "tokens", "multiplicity", "ended")
        assert {len(row[name]) for name in columns} == {len(row["resps"])}
        for text, answer, right, group in zip(*(row[name] for name in columns[:4]), strict=True):
            assert right == (answer == row["target"])
            assert (group == -1) == (answer is None)
            if answer is not None:
                assert f"so {answer}" in text
        if row["cell"].startswith("own/sampling"):
            assert len(row["resps"]) == 6
            assert sum(row["tokens"]) == row["stats"]["generated_tokens"]


def test_figures_follow_from_the_samples(tmp_path: Path) -> None:
    results = run(tmp_path, config())["results"]
    sampled = [row for row in iter_rows(tmp_path / "samples.jsonl") if "sampling" in row["cell"]]
    found = results["own/sampling/t=1"]
    assert found["pass@1,none"] == pytest.approx(sum(sum(row["right"]) for row in sampled) / 36, abs=1e-6)
    assert found["pass@6,none"] == pytest.approx(sum(any(row["right"]) for row in sampled) / 6, abs=1e-6)
    assert found["acc,consensus@1"] == found["pass@1,none"]
    assert found["acc,best_of@6:log_probability"] == found["acc,best_of_n"]
    assert found["generated_tokens,consensus@6"] == found["generated_tokens,none"]
    assert found["acc_interval,majority"][0] <= found["acc,majority"] <= found["acc_interval,majority"][1]


def test_a_budget_is_served_from_the_samples_as_a_run_with_fewer_would_have_spent_it(tmp_path: Path) -> None:
    small = run(tmp_path / "small", config(strategies=("majority", "best_of_n"), budget_tokens=(15,)))
    large = run(tmp_path / "large", config(strategies=("majority", "best_of_n"), budget_tokens=(15, 200)))
    for name in ("acc,majority@15tokens", "acc,best_of_n@15tokens", "trajectories,majority@15tokens"):
        assert small["results"]["own/sampling/t=1"][name] == large["results"]["own/sampling/t=1"][name]
    for row in iter_rows(tmp_path / "large" / "samples.jsonl"):
        assert sum(row["tokens"]) >= 200
        assert len(row["tokens"]) % 6 == 0
    assert large["results"]["own/sampling/t=1"]["generated_tokens,majority@200tokens"] == 200.0


def test_a_tree_search_is_compared_with_sampling_at_its_own_tokens(tmp_path: Path) -> None:
    results = run(tmp_path, config(budget_tokens=(40,)))
    spent = results["results"]["own/mcts/t=1/tokens=40"]["generated_tokens,none"]
    assert results["results"]["own/sampling/t=1"]["generated_tokens,majority@mcts:40tokens"] == spent
    rivals = {each["second"] for each in results["comparisons"]}
    assert rivals == {
        "own/greedy,none",
        "own/sampling/t=1,majority@mcts:40tokens",
        "own/sampling/t=1,best_of_n@mcts:40tokens",
    }


def test_results_use_the_harness_s_names(tmp_path: Path) -> None:
    results = run(tmp_path, config())
    for name in ("results", "configs", "versions", "n-shot", "n-samples", "higher_is_better", "config", "model_name"):
        assert name in results
    for task, found in results["results"].items():
        assert found["alias"] == task
        assert results["n-samples"][task] == {"original": 6, "effective": 6, "without_answer": 0}
        for name in found:
            if name != "alias":
                metric, chosen = name.split(",")
                if metric == "acc":
                    assert f"acc_stderr,{chosen}" in found
                    assert results["higher_is_better"][task]["acc"] is True
    assert results["by_level"]["own/greedy"].keys() == set(LEVELS)


ANSWERS = ("50", "0.5", "50%", "7", "7", "7")


def row_of_answers(answers: Sequence[str], gold: str) -> Row:
    """The line of a problem whose samples have these answers."""

    def script(state: State, n: int, seed: int) -> list[Step]:
        return [Step("so", ending="answer", answer=answer, tokens=1) for answer in answers[:n]]

    [cell] = [each for each in matrix(config(strategies=("majority",))) if each.method == "sampling"]
    parts = replace(components(script), verifier=AnswerVerifier())
    search = MajorityConfig(samples=len(answers), in_flight=len(answers))
    result = asyncio.run(search_one(Problem("how much?", gold, "p"), search, parts))
    return asyncio.run(make_row(cell, 0, "Q", [result], parts.verifier, has_scorer=False))


def test_an_answer_that_equals_members_of_two_groups_joins_them() -> None:
    row = row_of_answers(ANSWERS, "50%")
    assert row["group"] == [0, 0, 0, 1, 1, 1]
    assert row["right"] == [True, True, True, False, False, False]


def test_samples_that_a_limit_cuts_off_are_wrong_answers(tmp_path: Path) -> None:
    wanted = config(strategies=("majority",), search={"max_depth": 6, "max_wall_seconds": 1e-9})
    found = run(tmp_path, wanted, answer_share=0.05)["results"]["own/sampling/t=1"]
    rows = list(iter_rows(tmp_path / "samples.jsonl"))
    assert any(None in row["ended"] for row in rows)
    assert {len(row["right"]) for row in rows} == {6}
    assert found["pass@1,none"] == pytest.approx(sum(sum(row["right"]) for row in rows) / 36, abs=1e-6)


def test_a_share_of_all_or_none_has_an_interval(tmp_path: Path) -> None:
    results = run(tmp_path, config(), answer_share=0.0)["results"]
    greedy, sampled = results["own/greedy"], results["own/sampling/t=1"]
    shares = [greedy[f"{metric}_interval,none"] for metric in ("acc", "exact_match", "f1")]
    for interval in [*shares, sampled["pass@2_interval,none"]]:
        assert interval == pytest.approx([0.0, 0.390334], abs=1e-5)  # Wilson, 0 of 6


def test_failed_trajectories_and_unfinished_ones_are_wrong_answers(tmp_path: Path) -> None:
    results = run(tmp_path, config(), answer_share=0.0)
    for found in results["results"].values():
        own = [value for name, value in found.items() if name.startswith(("acc,", "pass@")) and "_" not in name]
        assert own
        assert set(own) == {0.0}


def test_a_run_says_what_separates_its_steps() -> None:
    async def about(separator: str | None) -> dict[str, Any]:
        async with open_benchmark_worker("toy", "cot", None, None, separator) as worker:
            return worker.about

    assert asyncio.run(about("\n"))["step_separator"] == "\n"
    assert "step_separator" not in asyncio.run(about(None)), "as in older files"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": (1, 7)}, "k = 7 needs at least as many samples"),
        ({"k": ()}, "k must name at least one"),
        ({"strategies": ("beams",)}, "unknown strategy 'beams'"),
        ({"temperatures": (1.0, 1.0)}, "contains duplicates"),
        ({"seeds": 0}, "1 or more"),
        ({"strategies": ("greedy",), "search": {"max_rollouts": 3}}, "max_rollouts is not a setting of greedy"),
        ({"search": {"gold": True}}, "gold is not a setting"),
    ],
)
def test_a_configuration_that_cannot_be_measured_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(**changes)


def test_a_configuration_survives_its_json() -> None:
    wanted = config(**FULL)
    assert BenchmarkConfig.from_json(json.loads(json.dumps(wanted.to_json()))) == wanted


def by_length(state: State) -> float:
    return (sum(len(step.text) for step in state.steps) % 17) / 8 - 1


def by_answer(state: State) -> float:
    """Only the last step prints."""
    answer = state.steps[-1].answer
    return 0.0 if answer is None else 0.5 if answer == "1" else -0.5


UNTIL_DECIDED = ("adaptive_consistency", "esc", "deepconf")
ALL = {
    "strategies": tuple(name for name in STRATEGIES if name not in UNTIL_DECIDED),
    "search": {"max_depth": 6, "children": 3},
}


def test_every_strategy_is_measured_with_a_ppm(tmp_path: Path) -> None:
    wanted = config(budget_tokens=(40,), **ALL)
    results = run(tmp_path, wanted, rate=by_length)
    found = results["results"]
    assert set(found) == {
        "own/greedy", "own/sampling/t=1",
        *(f"own/{name}/t=1/tokens=40" for name in ("mcts", "beam", "dvts", "adaptive_branching", "chunk_reset")),
    }  # fmt: skip
    for task, figures in found.items():
        if "tokens=40" in task:
            assert figures["generated_tokens,none"] >= 40, "the budget is spent"
            assert figures["scored_tokens,none"] > 0
    sampled = found["own/sampling/t=1"]
    assert sampled["acc,best_of@6:ppm"] == pytest.approx(sampled["acc,best_of_n"], abs=0.2)  # ties are shared there
    assert sampled["scored_tokens,majority"] == 0 < sampled["scored_tokens,weighted_vote"]
    assert sampled["scored_tokens,best_of_n@40tokens"] < sampled["scored_tokens,best_of_n"] * 2
    rivals = {each["second"] for each in results["comparisons"]}
    assert rivals == {
        "own/greedy,none",
        *(f"own/{name}/t=1/tokens=40,none" for name in ("beam", "dvts", "adaptive_branching", "chunk_reset")),
        *(f"own/sampling/t=1,{name}@mcts:40tokens" for name in ("majority", "best_of_n", "weighted_vote")),
    }
    names = [path.name for path in draw_plots(results, wanted, tmp_path / "plots")]
    assert "own-accuracy-by-tokens-t=1.png" in names
    report = render_report(results, wanted, [])
    for part in ("read by the PPM", "weighted@k:ppm", "sampling/t=1, weighted_vote |", "| dvts/t=1/tokens=40 |"):
        assert part in report
    assert "read by the PPM" not in render_report(run(tmp_path / "without", config()), config(), [])


def test_strategies_that_stop_when_the_vote_is_decided_are_cells_of_their_own(tmp_path: Path) -> None:
    wanted = config(strategies=("majority", "adaptive_consistency", "esc"), samples=20)
    results = run(tmp_path, wanted)
    assert set(results["results"]) == {"own/sampling/t=1", "own/adaptive_consistency/t=1", "own/esc/t=1"}
    for row in iter_rows(tmp_path / "samples.jsonl"):
        if "sampling" not in row["cell"]:
            assert row["stopped"] in ("decided", "finished")
            assert len(row["resps"]) == row["stats"]["rollouts"] <= wanted.samples
    assert any(row["stopped"] == "decided" for row in iter_rows(tmp_path / "samples.jsonl"))
    assert draw_plots(results, wanted, tmp_path / "plots")


@pytest.mark.parametrize("strategy", UNTIL_DECIDED)
def test_a_vote_that_stops_early_is_compared_with_one_of_as_many_samples(strategy: str) -> None:
    [cell, sampling] = matrix(config(strategies=(strategy, "majority"), samples=7))
    assert cell.config.samples == sampling.config.samples == 7
    [budgeted, _] = matrix(config(strategies=(strategy, "majority"), samples=7, budget_tokens=(400,)))
    assert budgeted.config.samples == type(budgeted.config)().samples, "the budget is to end it"


def test_the_ppm_s_score_of_every_trajectory_is_in_the_samples(tmp_path: Path) -> None:
    figures = run(tmp_path, config(**ALL), rate=by_answer)["results"]["own/sampling/t=1"]
    rows = list(iter_rows(tmp_path / "samples.jsonl"))
    assert len(rows) == 7 * 6
    right = 0
    for row in rows:
        expected = {None: 0.0, "1": 0.5}
        assert row["scores"]["ppm"] == [expected.get(answer, -0.5) for answer in row["filtered_resps"]]
        has_answer = any(answer is not None for answer in row["filtered_resps"])
        scores_all_steps = "chunk_reset" in row["cell"]
        assert (row["stats"]["scored_tokens"] > 0) == (has_answer or scores_all_steps)
        if "sampling" in row["cell"]:
            votes = {
                answer: row["filtered_resps"].count(answer) * exp(0.5 if answer == "1" else -0.5)
                for answer in row["filtered_resps"]
                if answer is not None
            }
            right += bool(votes) and max(votes, key=lambda answer: votes[answer]) == row["target"]
    assert figures["acc,weighted_vote"] == pytest.approx(right / 6, abs=1e-6)


def test_a_run_with_another_ppm_is_refused(tmp_path: Path) -> None:
    run(tmp_path, config(), rate=by_length)
    for other in (None, by_answer):
        with pytest.raises(TreestarError, match=r"model\.ppm"):
            run(tmp_path, config(), rate=other, resume=True)


def test_a_strategy_that_needs_a_ppm_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weighted_vote needs a process preference model"):
        run(tmp_path, config(strategies=("majority", "weighted_vote")))


def test_nothing_of_a_finished_problem_is_kept(tmp_path: Path) -> None:
    """Trees are released: the maximum number alive does not depend on the number of problems."""
    import gc

    from treestar.search import Tree

    def most_trees(out: Path, count: int) -> int:
        sets, wanted, most = [problem_set(count=count)], config(strategies=("majority",)), 0
        begin_run(out, wanted, sets, MODEL, resume=False)

        def on_row(_task: object, _row: object) -> None:
            nonlocal most
            gc.collect()
            most = max(most, sum(isinstance(each, Tree) for each in gc.get_objects()))

        workers = scripted_workers(components(random_script()), 3)
        asyncio.run(run_benchmark(out, wanted, sets, workers, on_row))
        return most

    gc.freeze()  # objects that existed before need not be scanned each time
    try:
        assert most_trees(tmp_path / "few", 6) == most_trees(tmp_path / "many", 40) <= 3
    finally:
        gc.unfreeze()


def test_a_reply_in_prose_is_written_as_it_was() -> None:
    from treestar.benchmarks.samples import reply
    from treestar.search import Tree
    from treestar.types import Execution, Step

    tree = Tree(Problem("2 + 2?"), "greedy", {"step_format": "tir"}, 0)
    program = tree.add_child(
        tree.add_root(Execution()), Step("```python\nprint(4)\n```\n", "print(4)\n"), Execution("4")
    )
    told = tree.add_child(program, Step("It is \\boxed{4}.", ending="answer", answer="4"), Execution())
    assert reply(tree, told) == "```python\nprint(4)\n```\n```output\n4\n```\nIt is \\boxed{4}."


def test_a_policy_on_a_cpu_is_measured_in_float32_where_searches_compute_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policy_loading, "dtype_for", lambda _: "bfloat16")

    async def run() -> tuple[str, Row]:
        async with open_benchmark_worker("toy-bootstrap", None, None, None) as worker:
            cell = matrix(config(strategies=("greedy",)))[0]
            task = BenchmarkTask(cell, 0, Problem("State the final answer to the following problem: 1 + 2 = ", "3"))
            return worker.about["dtype"], await worker.work(task)

    dtype, row = asyncio.run(run())
    assert dtype == "float32"
    assert row["stats"]["generated_tokens"] > 0
