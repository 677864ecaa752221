"""Answers that differ in one sign, digit, exponent, bracket or unit are never accepted; other writings of one are."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.near_misses import KINDS, answer, near_miss, presented, rewritten

from treestar.verifier import equivalent

PATIENCE = 20.0
"""Seconds for comparisons that end by themselves; on a loaded machine the default would cut some off."""
randoms = st.randoms(use_true_random=False)


@settings(max_examples=300)
@given(randoms)
def test_a_near_miss_is_not_accepted_in_either_order(random: Random) -> None:
    pair = near_miss(random)
    assert not equivalent(pair.gold, pair.other), pair
    assert not equivalent(pair.other, pair.gold), pair


@settings(max_examples=150)
@given(randoms)
def test_an_answer_equals_itself_in_other_white_space_brackets_and_styles(random: Random) -> None:
    text = answer(random)
    other = presented(random, rewritten(random, text))
    assert equivalent(text, other, PATIENCE), (text, other)
    assert equivalent(other, text, PATIENCE), (text, other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_near_miss_equals_its_own_gold(kind: str) -> None:
    random = Random(kind)
    for _ in range(5):
        gold, _ = KINDS[kind](random)
        assert equivalent(gold, f"\\boxed{{{gold}}}", PATIENCE)


SENTENCES = {
    "English": "So the answer is ${}$.",
    "Chinese": "答案是${}$。",
    "Spanish": "La respuesta es ${}$.",
    "French": "La réponse est ${}$.",
    "German": "Die Antwort ist ${}$.",
    "Russian": "Ответ: ${}$.",
    "Japanese": "答えは${}$です。",
    "Portuguese": "A resposta é ${}$.",
    "Korean": "정답은 ${}$입니다.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_an_answer_equals_itself_in_a_sentence_of_any_language(language: str) -> None:
    random = Random(language)
    for _ in range(12):
        text = answer(random)
        assert equivalent(text, SENTENCES[language].format(text), PATIENCE), text
