"""The curve and the report of a GRPO job, from its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from treestar.reinforcement.curve import curve_of, measures_of
from treestar.reinforcement.report import render_report, write_report


def step(number: int, **figures: float | None) -> dict[str, Any]:
    return {
        "step": number,
        "loss": 0.1,
        "reward": 0.5,
        "policy/correct": 0.25 * number,
        "tokens/generated": 100.0,
        "step_time": 2.0,
        **figures,
    }


def evaluated(number: int, greedy: float, other: float) -> dict[str, Any]:
    mean = (greedy + other) / 2
    return {
        "step": number,
        "eval_greedy": mean,
        "eval_greedy_low": mean - 0.1,
        "eval_greedy_high": mean + 0.1,
        "eval_greedy/a/hard": greedy,
        "eval_greedy/b/mid": other,
        "eval_tokens": 900.0,
        "eval_seconds": 3.0,
    }


LOG = [
    evaluated(0, 0.1, 1.0),
    step(1),
    evaluated(2, 0.5, 0.9),  # logged before the step that it follows
    step(2, **{"policy/correct": None}),
    step(3, **{"groups/replaced": 3.0, "skipped/rewards": 1.0}),
    evaluated(3, 0.9, 0.9),
    {"step": 3, "train_runtime": 9.0},
]


def test_a_point_has_the_steps_since_the_one_before() -> None:
    points = curve_of(LOG)
    assert [(point.step, point.tokens, point.seconds) for point in points] == [
        (0, 0, 0.0),
        (2, 200, 4.0),
        (3, 300, 6.0),
    ]
    assert [point.means.get("policy/correct") for point in points] == [None, 0.25, 0.75]
    assert [point.evaluation["greedy"] for point in points] == pytest.approx([0.55, 0.7, 0.9])
    assert measures_of(points) == ["greedy"]


def test_a_run_without_evaluations_has_one_point() -> None:
    [point] = curve_of([step(1), step(2)])
    assert (point.step, point.tokens, point.evaluation) == (2, 200, {})
    assert point.means["policy/correct"] == 0.375
    assert curve_of([]) == []


def test_the_report_names_what_rose_what_fell_and_what_was_left_out() -> None:
    text = render_report(LOG)
    assert text.startswith("# Reinforcement learning, 3 steps\n")
    assert "| 2 | 200 | 4 | 70.0 (60.0 to 80.0) |" in text
    assert "| a/hard | 10 | 50 | 90 |" in text
    assert "Lower than at step 0: b/mid (100 to 90)." in text
    assert "- 3 groups replaced by others" in text
    assert "- 1 rewards that were not finite numbers" in text
    assert "prompt leaves no room" not in text


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert [path.name for path in write_report(LOG, tmp_path)] == ["report.md", "curve.png"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "![curve](curve.png)" in (tmp_path / "report.md").read_text()
