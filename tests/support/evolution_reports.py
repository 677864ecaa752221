"""Made-up reports of a job's rounds, as complete as `treestar.selfevolve.phases` writes them."""

from __future__ import annotations

from typing import Any

CELLS = ("chain_sum/mid", "chain_sum/hard", "simple_geometry/mid", "simple_geometry/hard", "basic_arithmetic/mid",
         "leg_counting/mid", "gsm_symbolic/taught", "gsm_symbolic/untaught")  # fmt: skip


def accuracies(level: float) -> dict[str, Any]:
    """Accuracies that spread around `level`, with intervals, on 40 problems per cell."""
    found = {}
    for place, cell in enumerate(CELLS):
        accuracy = round(min(1.0, max(0.0, level + 0.08 * (place % 4) - 0.12)), 3)
        interval = [max(0.0, accuracy - 0.15), min(1.0, accuracy + 0.15)]
        found[cell] = {"problems": 40, "accuracy": accuracy, "interval": interval, "generated_tokens": 9_000}
    return found


def bootstrap_report() -> dict[str, Any]:
    evaluation = {"greedy": accuracies(0.2), "search": accuracies(0.3)}
    return {
        "round": 0,
        "mode": None,
        "policy": "toy",
        "ppm": None,
        "settings": {},
        "evaluation": evaluation,
        "phases": {"evaluation": {"seconds": 61.2, "generated_tokens": 144_000}},
    }


def round_report(number: int, level: float, solved: int, solved_first: int) -> dict[str, Any]:
    hard, easy = solved // 3, solved // 2
    counts = {"easy": easy, "medium": solved - hard - easy, "hard": hard, "unsolved": 480 - solved}
    attempts = [{"searches": 480, "solved": solved - 9}, {"searches": 489 - solved, "solved": 9}]
    return {
        "round": number,
        "mode": "ppm" if number > 2 else "terminal",
        "policy": "toy" if number == 1 else f"round-{number - 1}/policy",
        "ppm": f"round-{number - 1}/ppm" if number > 2 else None,
        "settings": {"mode": "terminal"},
        "search": {
            "problems": 480,
            "solved": solved,
            "solved_first": solved_first,
            "by_difficulty": counts,
            "by_cell": {cell: {"problems": 60, "solved": min(60, solved // 8 + i)} for i, cell in enumerate(CELLS)},
            "by_attempt": attempts[: 1 + (number == 4)],
            "rollouts": 7_680,
            "generated_tokens": 1_234_567,
            "scored_tokens": 98_765 if number > 2 else 0,
            "executions": 54_321,
            "false_positives": 17,
            "seconds": 400.0,
            "generation_seconds": 280.0,
            "execution_seconds": 33.3,
        },
        "selection": {"trajectories": solved_first, "duplicates": 12, "false_positives": 17, "rows": 900,
                      "copies": 1_500, "pairs": 2_345, "trees_without_pairs": {"no wrong trajectory": 40}},
        "sft": {"steps": 100, "seconds": 150.0},
        "ppm_training": {"steps": 80, "seconds": 90.0, "pair_accuracy": 0.7},
        "evaluation": {"greedy": accuracies(level), "search": accuracies(level + 0.15),
                       "ppm_fixed_policy": accuracies(0.4 + level / 4)},
        "phases": {
            "search": {"seconds": 400.0, "generated_tokens": 1_234_567},
            "selection": {"seconds": 4.0, "generated_tokens": 0},
            "sft": {"seconds": 150.0, "generated_tokens": 0},
            "ppm": {"seconds": 90.0, "generated_tokens": 0},
            "evaluation": {"seconds": 71.0, "generated_tokens": 300_000},
        },
    }  # fmt: skip


def job_reports() -> list[dict[str, Any]]:
    """The bootstrap policy and four rounds, where round 3 is not better than round 2."""
    rounds = ((1, 0.45, 200, 200), (2, 0.7, 300, 110), (3, 0.68, 300, 0), (4, 0.9, 430, 120))
    return [bootstrap_report(), *(round_report(*each) for each in rounds)]
