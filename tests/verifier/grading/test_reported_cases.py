"""Cases from other projects' test suites and issue trackers, and whole test sets, where their files are present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.paths import CASES, SHARED, needs_cases, needs_shared

from treestar.verifier import equivalent, extract_answer

PATIENCE = 20.0
"""Seconds for comparisons that end by themselves; on a loaded machine the default would cut some off."""


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@needs_cases("grader_suites.jsonl")
def test_the_cases_of_other_graders_suites_have_their_verdict_in_both_orders() -> None:
    wrong = [
        case["id"]
        for case in lines_of(CASES / "grader_suites.jsonl")
        if equivalent(case["gold"], case["pred"], PATIENCE) != case["equal"]
        or equivalent(case["pred"], case["gold"], PATIENCE) != case["equal"]
    ]
    assert not wrong


@needs_cases("reports.jsonl")
def test_the_reported_pairs_and_replies_are_graded_as_expected() -> None:
    graded = 0
    for report in lines_of(CASES / "reports.jsonl"):
        given, expected = report["input"], report["expected"]
        if given.get("fn") == "equivalent":
            assert equivalent(*given["args"], PATIENCE) is expected, given
        elif given.get("fn") == "extract_answer":
            answer = extract_answer(given["text"])
            assert answer is not None, given
            assert answer == expected or equivalent(answer, expected, PATIENCE), given
        else:
            continue
        graded += 1
    assert graded


@needs_shared("sets/gsm8k_test.jsonl")
def test_every_worked_solution_of_gsm8k_equals_its_own_final_number() -> None:
    for row in lines_of(SHARED / "sets" / "gsm8k_test.jsonl"):
        solution = f"{row['solution']}\n#### {row['answer']}"
        assert equivalent(solution, row["answer"], PATIENCE), row["id"]
