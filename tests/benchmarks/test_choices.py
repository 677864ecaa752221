"""Multiple choice questions whose choices are a field of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from treestar.benchmarks.datasets import load_problems, problem_from_hub, problem_from_line
from treestar.cli.problem_file import read_problems
from treestar.types import TreestarError

QUESTION = "Which number is even?"
SHOWN = f"{QUESTION}\nA) 3\nB) 5\nC) 8"
TEXTS = ["3", "5", "8"]


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": TEXTS, "answer": 2, "subject": "number theory"},
        {"choices": TEXTS, "answer": 2.0},
        {"choices": TEXTS, "answer": "C"},
        {"choices": TEXTS, "answer": "(c)"},
        {"choices": TEXTS, "answer": "8"},
        {"choices": TEXTS, "answer": 8},
        {"choices": [3, 5, 8], "answer": 2},
        {"options": ["A)3", "B)5", "C)8"], "correct": "C", "rationale": "8 = 2 * 4"},
        {"options": ["(A) 3", "(B) 5", "(C) 8"], "answer": "C"},
        {"options": TEXTS, "answer": "C", "answer_index": 2},
        {"choices": {"text": TEXTS, "label": ["A", "B", "C"]}, "answerKey": "C"},
        {"choices": {"text": TEXTS, "label": ["1", "2", "3"]}, "answerKey": "3"},
    ],
)
def test_choices_are_shown_and_answered_by_a_letter(tmp_path: Path, fields: dict[str, Any]) -> None:
    row = {"question": QUESTION, **fields}
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(row) + "\n")
    [asked], faults = read_problems(path)
    [measured] = load_problems(f"jsonl:{path}").problems
    assert not faults
    for problem in (asked, measured, problem_from_hub(row, "a set", 0)):
        assert (problem.question, problem.answer, problem.kind) == (SHOWN, "C", "math")


@pytest.mark.parametrize("shown", [SHOWN, f"{QUESTION} (A) 3 (B) 5 (C) 8"])
def test_a_question_that_lists_its_choices_stays_as_it_is(shown: str) -> None:
    for choices in (TEXTS, ["A)3", "B)5", "C)8"]):
        problem = problem_from_line(json.dumps({"question": shown, "options": choices, "answer": "C"}), 1)
        assert (problem.question, problem.answer) == (shown, "C")


def test_numbers_of_the_question_are_not_its_choices() -> None:
    problem = problem_from_line(json.dumps({"question": "Of 3, 5 and 8?", "choices": TEXTS, "answer": 0}), 1)
    assert problem.question.endswith("\nA) 3\nB) 5\nC) 8")


@pytest.mark.parametrize("answer", [{}, {"answer": None}, {"answer": ""}, {"answer": float("nan")}])
def test_choices_without_a_right_one_have_no_gold_answer(answer: dict[str, Any]) -> None:
    problem = problem_from_line(json.dumps({"question": QUESTION, "choices": TEXTS, **answer}), 1)
    assert (problem.question, problem.answer) == (SHOWN, None)


@pytest.mark.parametrize("answer", [4, -1, "D", "4", True, float("inf"), 10**400])
def test_an_answer_that_is_no_choice_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"is none of the 3 `choices`: give a place from 0, letter or text"):
        problem_from_line(json.dumps({"question": QUESTION, "choices": TEXTS, "answer": answer}), 1)


def test_a_place_in_a_text_is_refused(tmp_path: Path) -> None:
    """As tables have it: the place would be taken for the answer."""
    path = tmp_path / "problems.csv"
    path.write_text("question,choices,answer\n" + f"{QUESTION},\"['3', '5', '8']\",2\n")
    with pytest.raises(TreestarError, match=r"row 1: `choices` is a text, so the answer cannot be a place in it"):
        load_problems(f"jsonl:{path}")


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": [], "answer": "8"},
        {"choices": "A) 3 B) 5 C) 8", "answer": "C"},
        {"options": {"calculator": True}, "answer": "8"},
        {"kind": "qa", "choices": ["Paris", "Rome"], "answer": "Paris"},
    ],
)
def test_other_fields_of_that_name_change_nothing(fields: dict[str, Any]) -> None:
    problem = problem_from_line(json.dumps({"question": QUESTION, **fields}), 1)
    assert (problem.question, problem.answer) == (QUESTION, fields["answer"])
