"""What is made of finished runs: comparisons, reports and plots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.scripted_benchmark import config, run

from treestar.benchmarks.compare import compare_runs
from treestar.benchmarks.plots import draw_plots, draw_series
from treestar.benchmarks.report import render_report
from treestar.benchmarks.results import level_summary
from treestar.benchmarks.samples import iter_rows
from treestar.types import TreestarError

FULL = {"temperatures": (0.5, 1.0), "seeds": 2, "budget_tokens": (20, 60)}


def test_two_runs_are_compared_problem_by_problem(tmp_path: Path) -> None:
    run(tmp_path / "a", config())
    run(tmp_path / "b", config(), answer_share=0.9)
    [found] = compare_runs(tmp_path / "b", tmp_path / "a", ("own/sampling/t=1,majority", "own/greedy"))
    right = {}
    for name, cell in (("a", "own/greedy"), ("b", "own/sampling")):
        rows = [row for row in iter_rows(tmp_path / name / "samples.jsonl") if row["cell"].startswith(cell)]
        right[name] = {row["doc_id"]: row for row in rows}
    assert found["n"] == 6
    greedy = sum(row["acc"] for row in right["a"].values()) / 6
    results = json.loads((tmp_path / "b" / "results.json").read_text())
    assert found["difference"] == pytest.approx(
        results["results"]["own/sampling/t=1"]["acc,majority"] - greedy, abs=1e-6
    )
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    every = compare_runs(tmp_path / "a", tmp_path / "a")
    assert {each["first"] for each in every} == {
        "own/greedy,none", "own/sampling/t=1,majority", "own/sampling/t=1,best_of_n", "own/mcts/t=1,none"
    }  # fmt: skip
    assert all(each["difference"] == 0 and each["mcnemar"]["p_value"] == 1 for each in every)


def test_the_same_problems_are_compared_under_two_names(tmp_path: Path) -> None:
    run(tmp_path / "a", config())
    run(tmp_path / "b", config())
    for name in ("config.json", "samples.jsonl"):
        file = tmp_path / "b" / name
        file.write_text(file.read_text().replace('"own/', '"own.jsonl/').replace('"own"', '"own.jsonl"'))
    settings = tmp_path / "b" / "config.json"
    digest = json.loads(settings.read_text())["sets"]["own.jsonl"]["digest"]
    settings.write_text(settings.read_text().replace(digest, "of another name"))
    [found] = compare_runs(tmp_path / "a", tmp_path / "b", ("own/greedy", "own.jsonl/greedy"))
    assert (found["n"], found["difference"]) == (6, 0)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    run(tmp_path / "a", config())
    run(tmp_path / "b", config(datasets=("other",)))
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "cut", config(), stop_after=7)
    for first, second, pair, sentence in (
        ("a", "nothing", None, "is not a benchmark run"),
        ("a", "b", None, "no answers in common"),
        ("a", "cut", None, "cut is not finished: own/.* has . of 6 problems"),
        ("a", "a", ("own/beam", "own/greedy"), "has no answer 'own/beam'"),
        ("a", "b", ("own/greedy", "other/greedy"), "do not have the same problems"),
    ):
        with pytest.raises(TreestarError, match=sentence):
            compare_runs(tmp_path / first, tmp_path / second, pair)


def test_report_and_plots_show_every_data_set(tmp_path: Path) -> None:
    wanted = config(datasets=("own", "rg:other"), **FULL)
    results = run(tmp_path, wanted)
    files = draw_plots(results, wanted, tmp_path / "plots")
    names = {path.name for path in files}
    assert names == {
        *(f"{name}-accuracy-by-tokens-t={t}.png" for name in ("own", "rg-other") for t in ("0.5", "1")),
        *(f"{name}-pass-at-k.png" for name in ("own", "rg-other")),
        *(f"{name}-accuracy-by-level.png" for name in ("own", "reasoning-gym")),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    report = render_report(results, wanted, [f"plots/{name}" for name in sorted(names)])
    assert all(report.count(f"(plots/{name})") == 1 for name in names)
    own = results["results"]["own/greedy"]["acc,none"]
    assert f"| greedy | {100 * own:.1f} (" in report
    for part in ("## own", "## rg:other", "pass@k", "ties in consensus@k", "Brier score", "McNemar", "| easy |"):
        assert part in report


def test_levels_are_in_the_order_of_their_numbers() -> None:
    named = {"10": 2, "easy 3": 3, "2": 1, "1.5": 0, "hard": 4}
    values = {(doc, 0): {"acc,none": 1.0} for doc in range(5)}
    assert list(level_summary(values, {doc: name for name, doc in named.items()})) == [
        "1.5", "2", "10", "easy 3", "hard"
    ]  # fmt: skip


def test_every_data_set_has_its_own_plots(tmp_path: Path) -> None:
    long = f"jsonl:{'folder/' * 60}"
    datasets = (
        "jsonl:данные",
        "jsonl:сведения",
        "jsonl:a/b",
        "jsonl:a-b",
        "rg:gcd",
        "rg:gcd:easy",
        f"{long}1",
        f"{long}2",
    )
    wanted = config(datasets=datasets, strategies=("majority",))
    results = run(tmp_path, wanted)
    names = [path.name for path in draw_plots(results, wanted, tmp_path / "plots")]
    assert len(names) == len(set(names))
    report = render_report(results, wanted, [f"plots/{name}" for name in names])
    parts = report.split("\n## ")[1:]
    assert [part.count("-pass-at-k.png)") for part in parts] == [1] * len(datasets)
    assert "plots/jsonl-данные-pass-at-k.png" in parts[0]


def test_no_two_of_many_curves_look_alike() -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots()
    for place in range(13):
        draw_series(axes, [(1.0, 0.5, 0.4, 0.6), (2.0, 0.6, 0.5, 0.7)], str(place), place)
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 13
