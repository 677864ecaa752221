"""What ordinary servers do besides what the protocol says: limits in their own words, answers that lack fields."""

from __future__ import annotations

from typing import Any

import pytest
from support.instruct_server import InstructServer
from support.server_kinds import QUESTION, REPLY, policy_for, reply_of, walk

from treestar import MajorityConfig, Solver, TreestarError
from treestar.policy.backends.openai_answers import read_completion
from treestar.policy.backends.openai_dialect import OVERFLOW
from treestar.policy.formats import RStarFormat
from treestar.types import Sampling

pytestmark = pytest.mark.usefixtures("no_proxy")


def tgi(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    """How Text Generation Inference validates what it takes."""
    limit = body["max_tokens"]
    if not 0 < body.get("top_p", 0.5) < 1:
        return 422, "Input validation error: `top_p` must be > 0.0 and < 1.0"
    if limit > 100:
        return 422, (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 100. Given: 3 `inputs` tokens and "
            f"{limit} `max_new_tokens`"
        )
    return None


def test_tgi_takes_no_nucleus_that_is_whole_and_says_in_its_own_words_what_does_not_fit() -> None:
    with InstructServer(REPLY, refuse=tgi) as server:
        policy = policy_for(server)
        assert walk(policy)[-1].answer == "14"
        assert walk(policy, Sampling(temperature=0.5, top_p=0.9, max_tokens=64))[-1].answer == "14"
    assert [body.get("top_p") for body in server.steps()[-2:]] == [None, 0.9]
    assert server.steps()[-1]["max_tokens"] == 64, "an eighth of a whole solution's limit"
    assert "top_p" not in policy.report()


@pytest.mark.parametrize(
    "sentence",
    [
        "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
        "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "Please reduce the length of the messages or completion. Current length is 9156 while limit is 8192",
    ],
    ids=["TGI", "Gemini", "DeepSeek", "Cerebras"],
)
def test_how_servers_say_that_a_request_does_not_fit(sentence: str) -> None:
    assert OVERFLOW.search(sentence)


class TestUncounted:
    """Answers without `usage`."""

    @pytest.mark.parametrize("continues", [True, False])
    def test_they_are_used(self, continues: bool) -> None:
        with (
            InstructServer(REPLY, continues=continues, stops="named kept", counts=False) as server,
            Solver(policy := policy_for(server), MajorityConfig(samples=2)) as solver,
        ):
            result = solver.solve(QUESTION)
        assert (result.answer, result.stats.generated_tokens) == ("14", 0)
        assert "does not count tokens" in policy.report()

    def test_a_budget_of_tokens_alone_is_refused(self) -> None:
        with (
            InstructServer(REPLY, counts=False) as server,
            Solver(policy_for(server), MajorityConfig(samples=2, max_generated_tokens=100)) as solver,
            pytest.raises(TreestarError, match="does not count the tokens"),
        ):
            solver.solve(QUESTION)

    def test_a_text_that_the_limit_cuts_off_has_as_many_tokens(self) -> None:
        """So that it is not continued forever."""
        with InstructServer("seven " * 200, continues=True, stops="named kept", counts=False) as server:
            steps = walk(policy_for(server), Sampling(temperature=0.0, max_tokens=16))
        assert steps[0].tokens == 16
        assert reply_of(steps[:1]).count("seven") == 16

    def test_tokens_that_are_listed_are_counted(self) -> None:
        logprobs = {"content": [{"token": "1", "logprob": -0.1}, {"token": "4", "logprob": -0.2}]}
        choice = {"message": {"content": "14"}, "finish_reason": "stop", "logprobs": logprobs}
        assert read_completion({"choices": [choice], "usage": None}).tokens == 2


@pytest.mark.parametrize("field", ["reasoning_content", None])
def test_a_model_that_is_seen_to_think_has_room_for_it_whatever_its_name(field: str | None) -> None:
    thought = "Let me see. " * 100
    server = (
        InstructServer(f"<think>{thought}</think>{REPLY}", counted="<think>\nI am to count")
        if field is None
        else InstructServer(REPLY, thought=thought, thought_field=field)
    )
    with server:
        steps = walk(policy_for(server), Sampling(temperature=0.0, max_tokens=16))
    assert steps[-1].answer == "14"
    assert server.steps()[-1]["max_tokens"] == 32 * 16


def test_a_server_without_completions_is_not_mistaken_for_one_without_the_model() -> None:
    with (
        InstructServer(REPLY) as server,
        pytest.raises(TreestarError, match=r"\(404\): Not Found\. The step format rstar needs /completions"),
    ):
        walk(policy_for(server, RStarFormat()))


@pytest.mark.parametrize(("reason", "finished"), [("STOP", True), ("end_turn", True), ("MAX_TOKENS", False)])
def test_how_else_servers_say_that_a_text_has_ended(reason: str, finished: bool) -> None:
    choice = {"message": {"content": "14"}, "finish_reason": reason}
    assert read_completion({"choices": [choice]}).finished is finished
