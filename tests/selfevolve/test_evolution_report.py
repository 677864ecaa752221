"""report.md and progress.png of a job, from complete and from partial reports of its rounds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.evolution_reports import CELLS, bootstrap_report, job_reports, round_report

from treestar.selfevolve.plots import draw_progress
from treestar.selfevolve.report import render_report, write_report
from treestar.selfevolve.round_reports import Figure, coverage, mean_accuracy


def section(text: str, title: str) -> str:
    """The text under a heading."""
    return text.partition(f"## {title}")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the Markdown tables in a text, by their first cell; of several with the same, the first."""
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return {cells[0]: cells[1:] for cells in reversed(lines)}


def test_a_complete_job_has_the_four_tables_of_the_paper() -> None:
    text = render_report(job_reports(), "![progress](progress.png)")
    assert text.startswith("# Self-evolution, 4 rounds\n")
    assert "![progress](progress.png)" in text
    table2 = rows(section(text, "Coverage of the training problems (the paper's Table 2)"))
    assert table2["round 2"][:2] == ["round-1/policy", "480"]
    assert table2["round 2"][2].startswith("62.5 (")
    assert table2["round 2"][3:] == ["31.2", "10.4", "20.8", "37.5", "110", "310"]
    assert table2["chain_sum/mid"] == ["42 (25 of 60)", "62 (37 of 60)", "62 (37 of 60)", "88 (53 of 60)"]
    table3 = rows(section(text, "Policy without search (the paper's Table 3)"))
    assert table3["chain_sum/hard"][:3] == ["40", "16.0 (1.0 to 31.0)", "41.0 (26.0 to 56.0)"]
    assert len(table3["mean over cells"]) == 6
    table4 = rows(section(text, "PPM with the policy fixed (the paper's Table 4)"))
    assert table4["leg_counting/mid"] == [
        "40", "47.3 (32.3 to 62.3)", "53.5 (38.5 to 68.5)", "53.0 (38.0 to 68.0)", "58.5 (43.5 to 73.5)"
    ]  # fmt: skip
    table6 = rows(section(text, "The full system (the paper's Table 6)"))
    assert table6["gsm_symbolic/untaught"][-1] == "100.0 (85.0 to 100.0)"


def test_every_table_has_cells_for_all_its_columns() -> None:
    widths: set[int] = set()
    for line in [*render_report(job_reports()).splitlines(), ""]:
        if line.startswith("|"):
            widths.add(line.count(" | "))
        else:
            assert len(widths) <= 1
            widths.clear()


def test_further_attempts_at_unsolved_problems_are_shown() -> None:
    text = render_report(job_reports())
    assert "| solved, by attempt | every problem | still unsolved, 1 |" in text
    assert "| round 4 | 421 of 480 | 9 of 59 |" in text
    assert "by attempt" not in render_report(job_reports()[:3])


def test_a_round_that_is_no_better_is_said_to_be_so_with_what_is_known_of_the_reason() -> None:
    lines = section(render_report(job_reports()), "Is each round better").splitlines()
    [second] = [line for line in lines if line.startswith("- round 2, policy without search")]
    assert "better than round 1, mean 70.0" in second
    assert "**" not in second
    assert second.endswith("higher in 8 of 8 cells.")
    [third] = [line for line in lines if line.startswith("- round 3, policy without search")]
    assert "**not better** than round 2" in third
    assert "chain_sum/mid (58 to 56)" in third
    assert "solved no problem for the first time and it selected no new trajectory" in third


def test_a_rise_within_the_uncertainty_is_no_clear_one() -> None:
    reports = [round_report(1, 0.5, 200, 200), round_report(2, 0.52, 300, 100)]
    assert "**not clearly better** than round 1" in render_report(reports)


def test_the_reason_of_a_round_without_training_is_that_nothing_was_trained() -> None:
    later = round_report(2, 0.45, 300, 100) | {"sft": {"skipped": "no SFT in this job"}}
    text = render_report([round_report(1, 0.45, 200, 200), later])
    assert "Nothing was trained: no SFT in this job." in text


def test_the_cost_is_added_up_by_phase_and_round() -> None:
    cost = section(render_report(job_reports()), "Cost")
    assert "| seconds | search | selection | sft | ppm | evaluation | all |" in cost
    assert "| all | 1,600 | 16 | 600 | 360 | 345 | 2,921 |" in cost
    assert "| all | 4,938,268 | 0 | 0 | 0 | 1,344,000 | 6,282,268 |" in cost
    assert "| round 1 | 7,680 | 1,234,567 | 0 | 54,321 | 400 | 70 | 33 | 19.2 | 3,086 |" in cost


def without(report: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in names}


PARTIAL = {
    "the bootstrap policy alone": [bootstrap_report()],
    "one round, not measured": [without(round_report(1, 0.5, 200, 200), "evaluation")],
    "one round": [round_report(1, 0.5, 200, 200)],
    "nothing but searches": [without(each, "evaluation", "sft", "phases") for each in job_reports()[1:3]],
    "empty phases": [round_report(1, 0.5, 200, 200) | {"evaluation": {}, "search": {}, "phases": {}}],
    "one measure": [each | {"evaluation": {"greedy": each["evaluation"]["greedy"]}} for each in job_reports()],
}


@pytest.mark.parametrize("name", PARTIAL)
def test_partial_reports_give_what_they_have(name: str, tmp_path: Path) -> None:
    report, picture = write_report(PARTIAL[name], tmp_path)
    text = report.read_text(encoding="utf-8")
    assert "![progress](progress.png)" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    has_searches = any(each.get("search") for each in PARTIAL[name])
    is_measured = any(each.get("evaluation") for each in PARTIAL[name])
    assert ("(the paper's Table 2)" in text) == has_searches
    assert ("(the paper's Table 3)" in text) == is_measured
    assert "None" not in text
    assert "nan" not in text


def test_cells_that_a_round_was_not_measured_on_stay_empty(tmp_path: Path) -> None:
    first, second = job_reports()[1:3]
    del second["evaluation"]["greedy"][CELLS[0]]
    text = section(render_report([first, second]), "Policy without search")
    assert rows(text)[CELLS[0]][1:] == ["33.0 (18.0 to 48.0)", ""]
    assert rows(text)["mean over cells"][2] == ""
    draw_progress([first, second], tmp_path / "progress.png")


def test_the_order_of_the_reports_does_not_matter() -> None:
    assert render_report(job_reports()[::-1]) == render_report(job_reports())


def test_without_matplotlib_the_report_is_written_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert write_report(job_reports(), tmp_path) == [tmp_path / "report.md"]
    assert "treestar[bench]" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_picture_shows_what_there_is_and_nothing_lies_over_another_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure as Drawing

    drawn: list[Any] = []
    save = Drawing.savefig

    def keep(figure: Any, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Drawing, "savefig", keep)
    draw_progress(job_reports(), tmp_path / "progress.png")
    [figure] = drawn
    figure.draw_without_rendering()
    coverage_axes, accuracy_axes, greedy_map, search_map = figure.get_axes()
    assert coverage_axes.get_xticklabels()[0].get_text() == "round 1\nn = 480"
    assert accuracy_axes.get_xticklabels()[0].get_text() == "bootstrap"
    assert len(accuracy_axes.get_legend().get_texts()) == 3
    assert [label.get_text() for label in greedy_map.get_yticklabels()] == list(CELLS)
    for axes in (coverage_axes, accuracy_axes, greedy_map, search_map):
        texts = [axes.title, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
        legend = axes.get_legend()
        texts += legend.get_texts() if legend is not None else []
        boxes = [text.get_window_extent().padded(-1) for text in texts if text.get_text()]
        assert not any(one.overlaps(two) for place, one in enumerate(boxes) for two in boxes[:place])


def test_the_mean_over_cells_is_surer_than_its_cells() -> None:
    figures = {"a": Figure(0.4, 0.3, 0.5), "b": Figure(0.6, 0.5, 0.7)}
    mean = mean_accuracy(figures, ["a", "b"])
    assert mean.value == pytest.approx(0.5)
    assert 0.3 < mean.low < 0.5 < mean.high < 0.7
    assert mean.high - mean.value == pytest.approx(0.1 / 2**0.5)


def test_coverage_has_an_interval_that_holds_it() -> None:
    solved = coverage({"search": {"problems": 100, "solved": 40}})
    assert solved is not None
    assert solved.low < 0.4 < solved.high
    assert coverage({"round": 0}) is None
