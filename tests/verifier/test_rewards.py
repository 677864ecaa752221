"""The grader in other libraries' signatures: TRL's reward functions, called by its trainer, and lighteval's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from treestar.verifier import accuracy_metric, accuracy_reward, question_reward


def reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_a_reward_is_one_for_an_equivalent_answer_and_none_without_gold() -> None:
    completions = [reply("So it is \\boxed{0.5}."), reply("\\boxed{3}"), reply("\\boxed{1}"), []]
    assert accuracy_reward(completions, ["\\frac{1}{2}", "4", None, "4"]) == [1.0, 0.0, None, 0.0]
    assert accuracy_reward(["The answer is 7."], ["#### 7"]) == [1.0]


def test_a_reply_is_rewarded_for_the_answer_that_a_search_reads_in_it() -> None:
    replies = ["The intersection is at (2, 3).", "n = 5 is the smallest.", "4\n\nExplanation: 2 + 2 = 4.", "(C) 12"]
    assert accuracy_reward(replies, ["(2,3)", "5", "4", "C"]) == [1.0] * 4
    assert accuracy_reward(replies, ["(3,2)", "4", "2", "B"]) == [0.0] * 4
    assert accuracy_metric(Doc(["(2, 3)"]), ModelResponse(replies)) == 1.0


def test_a_number_that_the_question_gives_is_no_answer() -> None:
    text, question = "It needs 21 liters for 350 km", "It takes 6 liters per 100 km. How many liters for 350 km?"
    logged: dict[str, list[Any]] = {}
    for known in (question, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]):
        found = accuracy_reward([reply(text)] * 2, ["21", "350"], logged.__setitem__, [known] * 2)
        assert found == [1.0, 0.0]
    assert logged["answer"] == ["21", "21"]
    assert accuracy_metric(Doc(["21"], question), ModelResponse([text])) == 1.0
    assert accuracy_metric(Doc(["350"], question), ModelResponse([text])) == 0.0


def test_the_other_columns_are_ignored_and_answers_are_logged() -> None:
    logged: dict[str, list[Any]] = {}
    accuracy_reward(["The answer is 7."], ["7"], log_extra=logged.__setitem__, prompts=["?"], trainer_state=None)
    assert logged == {"solution": ["7"], "answer": ["7"]}


def test_as_many_gold_answers_as_replies_are_needed() -> None:
    with pytest.raises(ValueError, match="argument"):
        accuracy_reward(["1", "2"], ["1"])


@dataclass
class Doc:
    golds: list[str]
    query: str = ""

    def get_golds(self) -> list[str]:
        return self.golds


@dataclass
class ModelResponse:
    final_text: list[str]


def test_a_metric_accepts_the_first_reply_if_it_equals_any_gold() -> None:
    assert accuracy_metric(Doc(["7", "\\frac{1}{2}"]), ModelResponse(["It is \\boxed{0.5}", "x"])) == 1.0
    assert accuracy_metric(Doc(["7"]), ModelResponse(["8", "7"])) == 0.0
    assert accuracy_metric(Doc(["7"]), ModelResponse([])) == 0.0


def test_the_question_reward_is_the_f1_of_the_stated_answer() -> None:
    replies = [
        "Ada was born in Telmar. So the answer is: Ivo Brandt.",
        [{"role": "assistant", "content": "So the answer is: Mayor Ivo Brandt."}],
        "I give up",
        "So the answer is: x",
    ]
    told: dict[str, list[str]] = {}
    rewards = question_reward(replies, ["Ivo Brandt", ["Brandt", "Ivo Brandt"], "Ivo Brandt", None], told.__setitem__)
    assert rewards == [1.0, pytest.approx(0.8), 0.0, None]
    assert told["answer"] == ["Ivo Brandt", "Mayor Ivo Brandt", "", "x"]
    with pytest.raises(ValueError, match="shorter"):
        question_reward(replies, ["x"])
