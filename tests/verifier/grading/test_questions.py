"""Answers to questions: the cases of the official scripts of SQuAD and HotpotQA."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treestar.types import Problem
from treestar.verifier.grading.questions import (
    QuestionVerifier,
    answer_f1,
    best_over_golds,
    contains_answer,
    exactly_matches,
    gold_answers,
    normalized_answer,
    stated_question_answer,
)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  an   apple, a day ", "apple day"),
        ("U.S.A.", "usa"),
        ("Catherine-the-Great", "catherinethegreat"),
        ("3,000", "3000"),
        ("Bananas and a theater", "bananas and theater"),
        ("the", ""),
    ],
)
def test_normalization_is_that_of_squad(text: str, normalized: str) -> None:
    assert normalized_answer(text) == normalized


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1", "acc"),
    [
        ("Chief of Protocol", "chief of protocol.", 1, 1, 1),
        ("the Animorphs series", "Animorphs", 0, 2 / 3, 1),
        ("Greenwich Village", "Greenwich Village, New York City", 0, 4 / 7, 0),
        ("a b c b", "b b d", 0, 4 / 6, 0),  # repeated words count as often as both have them; "a" is an article
        ("Paris", "London", 0, 0, 0),
        ("yes", "yes", 1, 1, 1),
        ("yes it is", "yes", 0, 0, 1),  # HotpotQA: yes, no and noanswer only equal themselves
        ("no", "no idea", 0, 0, 0),
        ("noanswer", "Paris", 0, 0, 0),
        ("carpet", "pet", 0, 0, 0),  # Acc compares whole words
    ],
)
def test_metrics(answer: str, gold: str, em: float, f1: float, acc: float) -> None:
    assert exactly_matches(answer, gold) == em
    assert answer_f1(answer, gold) == pytest.approx(f1)
    assert contains_answer(answer, gold) == acc


@given(st.text(), st.text())
def test_f1_is_symmetric_and_an_exact_match_has_all_of_it(answer: str, gold: str) -> None:
    assert answer_f1(answer, gold) == answer_f1(gold, answer)
    assert 0 <= answer_f1(answer, gold) <= 1
    if exactly_matches(answer, gold) and normalized_answer(gold):
        assert answer_f1(answer, gold) == contains_answer(answer, gold) == 1


def test_the_best_gold_answer_counts() -> None:
    problem = Problem("?", "G. Stanley Hall", kind="qa", metadata={"answer_aliases": ["Stanley Hall"]})
    assert gold_answers(problem) == ["G. Stanley Hall", "Stanley Hall"]
    assert best_over_golds(exactly_matches, "stanley hall", gold_answers(problem)) == 1
    assert gold_answers(Problem("?", "Hall", kind="qa", metadata={"answer_aliases": "G. Hall"})) == ["Hall", "G. Hall"]
    assert gold_answers(Problem("?", "Hall", kind="qa", metadata={"answer_aliases": [None, 7]})) == ["Hall", "7"]
    assert best_over_golds(exactly_matches, None, gold_answers(problem)) == 0
    verifier = QuestionVerifier()
    assert asyncio.run(verifier.accepts(problem, "The Stanley Hall"))
    assert not asyncio.run(verifier.accepts(Problem("?", kind="qa"), ""))
    assert asyncio.run(verifier.equivalent("the U.S.", "us"))


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Ada was born in Telmar.\nSo the answer is: Ivo Brandt.\n", "Ivo Brandt"),
        ("So the answer is October 5, 1987.", "October 5, 1987"),
        ("The answer is: no. So the answer is: **St. Louis, Mo.**", "St. Louis, Mo."),
        ("I do not know", None),
        ("So the answer is:", None),
        ("So the answer is:\nParis", "Paris"),
        ("**So the answer is:**\n\n**Paris**.\nIt is a city.", "Paris"),
        ("So the answer is: Paris.\nThe answer is", "Paris"),
        ("**So the answer is:**\n", None),
    ],
)
def test_what_a_reply_states(reply: str, answer: str | None) -> None:
    assert stated_question_answer(reply) == answer
