"""The chunk format: a chunk is a step, what follows the last one is the answer, and the steps joined are the reply."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.grpo_rollouts import ScriptedModel
from support.reply_steps import reply_steps
from support.scripted import ExactVerifier, ScriptedExecutor
from support.tiny_model import save_tiny_model

from treestar.policy import load_policy
from treestar.policy.backends.generated import Generated
from treestar.policy.formats import INSTRUCT, ChunkFormat, plain_template, step_format_named
from treestar.search import STRATEGIES, Components, search_one
from treestar.search.config import MCTSConfig
from treestar.types import Execution, Problem, Scores, State, Step

FORMAT = ChunkFormat(plain_template, INSTRUCT)
PROBLEM = Problem("What is 3 * 4 - 5?", "7", "pens")
REPLY = (
    "<chunk>\nFirst 3 * 4 = 12.\n\nThat is all.</chunk>\n<chunk>Then 12 - 5 = 7.</chunk>\n\nThe answer is \\boxed{7}."
)


def test_a_chunk_is_a_step_and_what_follows_the_last_is_the_answer() -> None:
    steps = reply_steps(FORMAT, PROBLEM, REPLY)
    assert [step.text for step in steps] == [
        "<chunk>\nFirst 3 * 4 = 12.\n\nThat is all.</chunk>",
        "\n<chunk>Then 12 - 5 = 7.</chunk>",
        "\n\nThe answer is \\boxed{7}.",
    ]
    assert [step.ending for step in steps] == ["step", "step", "answer"]
    assert [step.answer for step in steps] == [None, None, "7"]


def test_an_answer_within_the_last_chunk_counts_too() -> None:
    steps = reply_steps(FORMAT, PROBLEM, "<chunk>3 * 4 - 5 = \\boxed{7}</chunk>")
    assert [(step.ending, step.answer) for step in steps] == [("answer", "7")]


def test_a_model_that_marks_nothing_writes_its_reply_in_one_step() -> None:
    assert [step.text for step in reply_steps(FORMAT, PROBLEM, "So\n\nit is \\boxed{7}.")] == [
        "So\n\nit is \\boxed{7}."
    ]
    assert FORMAT.parse(State(PROBLEM), "So it", ended=False).ending == "truncated"
    assert FORMAT.at_the_limit(State(PROBLEM), Step("So it", ending="truncated")).ending == "step"


def test_code_and_formulas_within_a_chunk_do_not_matter() -> None:
    open_formula = "<chunk>$$ x = 1</chunk>"
    assert FORMAT.parse(State(PROBLEM), open_formula + " more", ended=False) == Step(open_formula)
    assert not FORMAT.goes_on(open_formula)
    assert FORMAT.goes_on("<chunk>x")


def test_after_the_same_chunk_three_times_the_model_is_asked_for_its_answer() -> None:
    steps = reply_steps(FORMAT, PROBLEM, "<chunk>Hm.</chunk>" * 9)
    assert [step.ending for step in steps] == ["step", "step", "endless"]
    state = State(PROBLEM, steps, tuple(Execution() for _ in steps))
    assert FORMAT.parse(state, "5}", ended=True).answer == "5"


@given(
    st.lists(st.text(alphabet="ab \n$`<>/", max_size=8), min_size=1, max_size=6), st.text(alphabet="ab \n", max_size=8)
)
def test_the_steps_joined_are_the_reply(chunks: list[str], last: str) -> None:
    reply = "".join(f"<chunk>{chunk}</chunk>" for chunk in chunks) + last
    steps = reply_steps(FORMAT, PROBLEM, reply)
    assert reply.startswith("".join(step.text for step in steps))
    state = State(PROBLEM, steps, tuple(Execution() for _ in steps))
    assert FORMAT.prompt(state) == "".join(piece.text for piece in FORMAT.pieces(state))


def test_it_is_asked_for_in_the_models_own_template() -> None:
    form = step_format_named("chunk", lambda messages: messages[0]["content"] + "\n>")
    assert "between <chunk> and </chunk>" in form.prompt(State(PROBLEM))
    assert "within \\boxed{}" in form.prompt(State(PROBLEM))
    assert "So the answer is:" in form.prompt(State(Problem("Who?", kind="qa")))


class Sure(ScriptedModel):
    """Also gives the confidences that deepconf needs."""

    def written(self, text: str, most: int, stop_strings: tuple[str, ...]) -> Generated:
        found = super().written(text, most, stop_strings)
        return replace(found, confidences=(1.0,) * found.tokens)


class Even:
    """Scores every state alike."""

    name = "even"

    async def score(self, states: list[State]) -> Scores:
        return Scores((0.5,) * len(states))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_searches_in_chunks(strategy: str) -> None:
    config_class, _ = STRATEGIES[strategy]
    limits = {"max_rollouts": 3} if config_class is MCTSConfig else {}

    def script(read: str, index: int) -> str:
        written = read.partition("Solution:")[2]
        return REPLY[len(written) :]

    model = Sure(script, "chunk")
    result = asyncio.run(
        search_one(PROBLEM, config_class(**limits), Components(model, ScriptedExecutor(), ExactVerifier(), Even()))
    )
    assert (result.answer, result.correct) == ("7", True)
    assert "".join(step.text for step in result.trajectory) == REPLY


def test_a_model_whose_files_name_it_writes_it(tmp_path: Path) -> None:
    assert load_policy(str(save_tiny_model(tmp_path, treestar_format="chunk"))).format.name == "chunk"
