"""Runs with thinking budgets: Control, Scaling and Performance as s1 defines them, by hand and from a run."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from support.scripted import components

from treestar.benchmarks.datasets import ProblemSet
from treestar.benchmarks.matrix import BenchmarkConfig, matrix
from treestar.benchmarks.report import render_report
from treestar.benchmarks.results import compute_results
from treestar.benchmarks.runner import SAMPLES, begin_run, run_benchmark
from treestar.benchmarks.scoring import problem_metrics
from treestar.benchmarks.task import benchmark_worker
from treestar.benchmarks.thinking import scaling, thought_tokens
from treestar.types import Policy, Problem, Proposal, Sampling, State, Step
from treestar.workers import LocalWorkers

OPENING, CLOSING = 7, 8
BUDGETS = (0, 2, 4)
CONFIG = BenchmarkConfig(
    datasets=("own",), strategies=("greedy", "majority"), samples=2, k=(1, 2), thinking_budgets=BUDGETS
)


def test_scaling_is_the_mean_slope_over_all_pairs() -> None:
    # (10 - 0) / 100, (30 - 0) / 400 and (30 - 10) / 300.
    assert scaling([(0, 0.0), (400, 30.0), (100, 10.0)]) == pytest.approx((0.1 + 0.075 + 20 / 300) / 3)
    assert scaling([(5, 1.0)]) is None


def test_a_thought_is_what_is_between_its_tokens() -> None:
    count = partial(thought_tokens, opening=OPENING, closing=CLOSING)
    assert count([OPENING, 1, 2, CLOSING, 3]) == count([1, 2, CLOSING, CLOSING]) == count([OPENING, 1, 2]) == 2
    assert count([CLOSING, 1]) == 0


class Thinker(Policy):
    """Thinks as long as it may, and is right about problem i if that is at least i tokens. Problem 3 exceeds it."""

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        assert sampling.thinking is not None
        assert sampling.thinking.max_tokens is not None
        length, number = sampling.thinking.max_tokens, int(state.problem.id)
        answer = state.problem.answer if length >= number else "none"
        ids = (OPENING, *[1] * (length + (self.disobeys and number == 3)), CLOSING, 2)
        return Proposal((Step("so", "", "answer", answer, tokens=len(ids), token_ids=ids),) * n)

    def __init__(self, disobeys: bool = False) -> None:
        self.disobeys = disobeys


@pytest.mark.parametrize(("disobeys", "control"), [(False, 1.0), (True, 0.0)])
def test_a_run_reports_control_scaling_and_performance(tmp_path: Path, disobeys: bool, control: float) -> None:
    problems = tuple(Problem(f"which {i}?", str(i), str(i)) for i in range(1, 5))
    sets = [ProblemSet("own", problems, len(problems), 0)]
    parts = components(lambda state, n, seed: [])
    object.__setattr__(parts, "policy", Thinker(disobeys))
    count = partial(thought_tokens, opening=OPENING, closing=CLOSING)
    about = {"name": "thinker", "num_fewshot": 0, "ppm": None}
    workers = LocalWorkers(benchmark_worker(parts, lambda problem: "", about, count), 2)
    settings = begin_run(tmp_path, CONFIG, sets, about, resume=False)
    asyncio.run(run_benchmark(tmp_path, CONFIG, sets, workers))
    results = compute_results(tmp_path / SAMPLES, settings, CONFIG)
    greedy, sampled = results["thinking"]
    assert [greedy["answer"], sampled["answer"]] == ["own/greedy,none", "own/sampling/t=1,majority"]
    assert [point["accuracy"] for point in greedy["curve"]] == [0.0, 0.5, 1.0]
    assert [point["budget"] for point in greedy["curve"]] == list(BUDGETS)
    assert greedy["curve"][1]["thinking_tokens"] == 2 + disobeys / 4
    assert (greedy["control"], greedy["scaling"], greedy["performance"]) == (control, 25_000.0, 1.0)
    report = render_report(results, CONFIG, [])
    assert f"| greedy | {100 * control:.0f}% | +25000.00 | 100.0 | 0: 0.0, 2: 50.0, 4: 100.0 |" in report


def test_each_budget_is_a_cell_of_its_own() -> None:
    assert [cell.task for cell in matrix(CONFIG)][:2] == ["own/greedy/thinking=0", "own/greedy/thinking=2"]
    assert BenchmarkConfig.from_json(CONFIG.to_json()) == CONFIG
    with pytest.raises(ValueError, match="neither with budget_tokens"):
        BenchmarkConfig(datasets=("own",), budget_tokens=(5,), thinking_budgets=(5,))


def test_a_search_without_an_answer_says_nothing_of_the_length_of_thoughts() -> None:
    [cell] = [each for each in matrix(CONFIG) if each.key == "own/greedy/thinking=2/seed=0"]
    stats = dict.fromkeys(("prompt_tokens", "executions", "generated_tokens"), 0)
    row = {"stats": stats, "multiplicity": [], "thinking_tokens": [], "answer": None, "acc": False, "confidence": 0.0}
    found = problem_metrics({**row, "doc": {}, "target": "1"}, cell, CONFIG, {})
    assert not {"thinking_tokens,none", "within_budget,none"} & found.keys()
