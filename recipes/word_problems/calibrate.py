"""What the confidence of a policy's searches means, fitted on held-out questions and kept in its config.json.

    treestar solve --policy FOLDER --file QUESTIONS.jsonl --out RESULTS.jsonl
    python -m recipes.word_problems.calibrate RESULTS.jsonl --policy FOLDER

QUESTIONS have answers, and are neither taught nor test questions (those of `searched`, which the bootstrap writes, and
the everyday ones to develop with).
Prints the expected calibration error before and after, the latter on halves of which the other half was fitted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from treestar.config.calibration import Calibration, fitted_calibration
from treestar.policy.load import CALIBRATIONS_KEY
from treestar.statistics import expected_calibration_error
from treestar.storage.files import read_json, write_json

__all__ = ["calibrated_on_other_half", "main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line.

    Raises:
        ValueError: the policy is already calibrated for the strategy, so its results hold chances and not shares; or
            the results are from searches with several scorers, or without an answer.
    """
    parser = argparse.ArgumentParser(description="Fit what a policy's confidence means.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--policy", type=Path, required=True, help="the policy's folder")
    parser.add_argument("--strategy", default="mcts")
    options = parser.parse_args(arguments)
    file = options.policy / "config.json"
    config = read_json(file)
    calibrations = config.setdefault(CALIBRATIONS_KEY, {})
    if options.strategy in calibrations:
        raise ValueError(f"{file} already has {CALIBRATIONS_KEY} for {options.strategy}: remove it and search again")
    rows = [json.loads(line) for line in options.results.read_text(encoding="utf-8").splitlines()]
    answered = [row for row in rows if "answer" in row and row["answer"] is not None and row["correct"] is not None]
    shares, right = [row["confidence"] for row in answered], [row["correct"] for row in answered]
    scorers = {row["settings"]["ppm"] or "none" for row in answered}
    if len(scorers) != 1:
        raise ValueError(f"{options.results}: answers of {len(scorers)} scorers, but a calibration holds for one")
    found = replace(fitted_calibration(shares, right), scorer=scorers.pop())
    calibrations[options.strategy] = asdict(found)
    write_json(file, config)
    before = expected_calibration_error(shares, right)
    after = expected_calibration_error(calibrated_on_other_half(shares, right), right)
    print(f"{len(answered)} answers, {sum(right)} right; calibration error {before:.3f} -> {after:.3f}; {found}")


def calibrated_on_other_half(shares: Sequence[float], right: Sequence[bool]) -> list[float]:
    """The chance of every answer by a calibration that was fitted without it: on every second one."""
    halves: list[Calibration] = [fitted_calibration(shares[part::2], right[part::2]) for part in (1, 0)]
    return [halves[place % 2](share) for place, share in enumerate(shares)]


if __name__ == "__main__":
    main()
