"""The difficulty model: it learns which evidence promises more, from lines of samples.jsonl."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from treestar.allocation import DifficultyModel, Evidence, train_difficulty
from treestar.allocation.difficulty import evidence_of_samples
from treestar.types import TreestarError


def row(doc_id: int) -> dict[str, Any]:
    """Every other problem is decided by its majority, and very probable; the others are guessed among many answers."""
    rng = random.Random(doc_id)
    decided = doc_id % 2 == 0
    group = [int(rng.random() > 0.65) if decided else rng.randrange(-1, 12) for _ in range(16)]
    return {
        "doc_id": doc_id,
        "group": group,
        "right": [each == 0 and decided for each in group],
        "tokens": [10] * 16,
        "scores": {"log_probability": [-0.1 if decided else -2.0] * 16},
    }


ROWS = [row(doc_id) for doc_id in range(20)]


@pytest.fixture(scope="module")
def model() -> DifficultyModel:
    return train_difficulty(ROWS, seed=1)


def test_more_samples_are_promised_to_problems_that_they_decide(model: DifficultyModel) -> None:
    solvable = Evidence(votes=(1, 1), rollouts=2, tokens=20, log_probability=-0.1)
    guessed = Evidence(votes=(1, 1), rollouts=2, tokens=20, log_probability=-2.0)
    decided = Evidence(votes=(8,), rollouts=8, tokens=80, log_probability=-0.1)
    gains = model.gain([solvable, guessed, decided])
    assert gains[0] > gains[1] + 0.01
    assert gains[0] > gains[2] + 0.01
    assert model.gain([]) == []
    assert model.chances([decided])[0, 0] > 0.8 > 0.2 > model.chances([guessed])[0, 0]


def test_a_model_is_the_same_again_and_from_its_file(model: DifficultyModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model.json")
    assert DifficultyModel.load(tmp_path / "model.json") == model
    (tmp_path / "other.json").write_text('{"ahead": [0]}')
    with pytest.raises(TreestarError, match="is not a difficulty model"):
        DifficultyModel.load(tmp_path / "other.json")


def test_evidence_counts_votes_and_leaves_out_what_has_no_answer() -> None:
    data = {**ROWS[0], "group": [0, 1, 1, -1], "tokens": [1, 2, 3, 4], "right": [True, False, False, False]}
    data["scores"] = {"log_probability": [-1.0, -2.0, -3.0, -100.0], "ppm": [1.0, 0.0, -1.0, 9.0]}
    assert evidence_of_samples(data, [0, 1, 2, 3]) == Evidence((2, 1), 4, 10, -2.0, 0.0)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(TreestarError, match="--samples 16 or more"):
        train_difficulty([{**ROWS[0], "group": [0], "right": [True]}])
