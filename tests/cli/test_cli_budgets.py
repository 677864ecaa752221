"""Budgets on the command line: one for a whole set, and the difficulty model that helps to spend it."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from treestar.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["treestar", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"[\s│╭╮╰╯─]+", " ", "".join(capsys.readouterr()))


def sampled(doc_id: int) -> dict[str, Any]:
    rng = random.Random(doc_id)
    group = [int(rng.random() < 0.4) for _ in range(16)]
    scores = {"log_probability": [-0.5] * 16}
    return {"cell": "x", "doc_id": doc_id, "group": group, "right": [each == 0 for each in group],
            "tokens": [20] * 16, "scores": scores}  # fmt: skip


def test_a_set_is_solved_within_its_total(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run, model, out = tmp_path / "run", tmp_path / "difficulty.json", tmp_path / "out.jsonl"
    run.mkdir()
    (run / "samples.jsonl").write_text("".join(json.dumps(sampled(i)) + "\n" for i in range(6)))
    assert call(monkeypatch, "train", "difficulty", str(run), "--out", str(model)) == 0
    problems = tmp_path / "problems.jsonl"
    problems.write_text(
        "".join(json.dumps({"question": f"What is {i} + {i}?", "answer": 2 * i}) + "\n" for i in (3, 4))
    )
    solve = ("solve", "--file", str(problems), "--strategy", "majority", "--out", str(out), "--json")
    assert call(monkeypatch, *solve, "--total-tokens", "700", "--difficulty", str(model)) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    tokens = [each["stats"]["generated_tokens"] for each in results]
    assert len(tokens) == 2
    assert min(tokens) > 0
    assert sum(tokens) <= 700
    assert len(Path(f"{out}.rollouts").read_text().splitlines()) == sum(each["stats"]["rollouts"] for each in results)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--total-tokens", "500"), "use the strategy majority, best_of_n or weighted_vote"),
        (
            ("--strategy", "majority", "--total-tokens", "9", "--max-rollouts", "2"),
            "leave out max_rollouts: ",
        ),
        (("--strategy", "majority", "--difficulty", __file__), "--difficulty needs --total-tokens"),
    ],
)
def test_a_total_that_cannot_be_spent_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], reason: str
) -> None:
    assert call(monkeypatch, "solve", "What is 1 + 1?", *options) == 2
    assert reason in said(capsys)
