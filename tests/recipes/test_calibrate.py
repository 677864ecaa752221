"""What confidence means, from a results file into a policy's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from recipes.word_problems.calibrate import calibrated_on_other_half, main
from treestar.config.calibration import Calibration


def overconfident(count: int) -> list[dict[str, object]]:
    """Results with answers that are right half as often as their share says, and some without an answer."""
    random = Random(0)
    shares = [random.random() for _ in range(count)]
    settings = {"ppm": "embedded"}
    rows: list[dict[str, object]] = [
        {"answer": "1", "correct": random.random() < share / 2, "confidence": share, "settings": settings}
        for share in shares
    ]
    return [*rows, {"answer": None, "correct": False, "confidence": 0.0, "settings": settings}]


def test_a_policy_learns_that_it_is_overconfident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(row) + "\n" for row in overconfident(400)))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    main([str(results), "--policy", str(tmp_path)])
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "llama"
    chance = Calibration(**config["treestar_calibrations"]["mcts"])
    assert 0.3 < chance(0.9) < 0.6
    assert chance.scorer == "embedded"
    assert "400 answers" in capsys.readouterr().out
    with pytest.raises(ValueError, match="already has treestar_calibrations for mcts"):
        main([str(results), "--policy", str(tmp_path)])


def test_no_answer_is_judged_by_a_calibration_that_saw_it() -> None:
    shares = [0.9, 0.9, 0.9, 0.9]
    first = calibrated_on_other_half(shares, [True, False, True, False])
    assert first[0] == first[2] < 0.5 < first[1] == first[3]
