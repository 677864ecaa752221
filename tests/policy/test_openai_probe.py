"""What a policy finds out about a server: refusals, and how it goes on with an unfinished reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.instruct_server import InstructServer, Refuse, unknown_fields
from support.served_policy import policy_at
from support.server_kinds import (
    FLAGS,
    GREEDY,
    NEW_REPLIES,
    QUESTION,
    REPLY,
    needs_no_thinking,
    policy_for,
    walk,
)

from treestar import TreestarError
from treestar.policy import OpenAIPolicy
from treestar.policy.backends.openai import template_at_the_server
from treestar.policy.backends.openai_answers import Completion
from treestar.policy.backends.openai_probe import verdict
from treestar.policy.backends.openai_ways import WholeSolutions
from treestar.policy.formats import CotFormat, family_named
from treestar.types import ContextOverflow, Execution, Problem, Sampling, State, Step

pytestmark = pytest.mark.usefixtures("no_proxy")


class TestRefusals:
    """Fields and limits that a server does not take."""

    def test_the_names_of_newer_openai_models(self) -> None:
        def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
            if "max_tokens" in body:
                return 400, (
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                    "instead."
                )
            body["max_tokens"] = body["max_completion_tokens"]
            if body.get("temperature", 1) != 1:
                return 400, (
                    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value "
                    "is supported."
                )
            fields = ("stop", "top_p", "logprobs", "top_k", "continue_final_message", "add_generation_prompt")
            unknown = unknown_fields(*fields, sentence="Unsupported parameter: '{}' is not supported with this model.")
            return unknown(path, body)

        with InstructServer(REPLY, refuse=refuse) as server:
            policy = policy_for(server)
            assert walk(policy)[-1].answer == "14"
        assert "temperature" in policy.report(), "which changes what is drawn, so it is said"

    @pytest.mark.parametrize(
        ("sentence", "refused"),
        [
            ("final assistant content cannot end with trailing whitespace", {"role": "assistant", "ends": "\n"}),
            ("System role not supported", {"role": "system", "ends": ""}),
            ("Conversation roles must alternate user/assistant/user/...", {"role": "system", "ends": ""}),
        ],
    )
    def test_several_requests_may_be_refused_for_it_at_once(self, sentence: str, refused: dict[str, str]) -> None:
        """As Anthropic, and vLLM with the chat templates of Gemma 2 and Mistral, refuse it."""

        def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
            role, ends = refused["role"], refused["ends"]
            found = [each for each in body["messages"] if each["role"] == role and each["content"].endswith(ends)]
            return (400, sentence) if found else None

        first = Step(REPLY.split("Doubling")[0])
        form = CotFormat(template_at_the_server, family_named("llama-3"))

        async def proposed(policy: OpenAIPolicy) -> set[str]:
            state = State(Problem(QUESTION), (first,), (Execution(),))
            proposal = await policy.propose(state, 4, GREEDY, 0)
            await policy.close()
            return {step.text for step in proposal.steps}

        with InstructServer(REPLY, continues=True, stops="named", refuse=refuse) as server:
            assert asyncio.run(proposed(policy_for(server, form))) == {"Doubling gives 14.\n\n"}
        taken = "\n".join(each["content"] for each in server.steps()[-1]["messages"][:-1])
        assert form.instruction(Problem(QUESTION)) in taken
        assert QUESTION in taken

    def test_a_field_is_left_out_only_if_it_is_what_the_server_refuses(self) -> None:
        def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
            return 400, "temperature must be at most 1"

        with (
            InstructServer(REPLY, refuse=refuse) as server,
            pytest.raises(TreestarError, match="temperature must be at most 1"),
        ):
            walk(policy_for(server))

    @pytest.mark.parametrize(
        "sentence",
        [
            "max_tokens is too large: {}. This model supports at most 100 completion tokens, whereas you provided {}.",
            "max_tokens: {} > 100, which is the maximum allowed number of output tokens for claude-3-haiku",
            "This model's maximum context length is 100 tokens. However, you requested {} output tokens.",
        ],
    )
    def test_a_whole_solution_may_be_shorter_where_the_server_says_so(self, sentence: str) -> None:
        def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
            limit = body["max_tokens"]
            return (400, sentence.replace("{}", str(limit))) if limit > 100 else None

        with InstructServer(REPLY, refuse=refuse) as server:
            policy = policy_for(server)
            proposal = asyncio.run(policy.propose(State(Problem(QUESTION)), 4, GREEDY, 0))
            assert {step.answer for step in proposal.steps} == {"14"}
            asked = [body["max_tokens"] for body in server.steps()]
            assert [limit for limit in asked if limit <= 100] == [64] * 4, "each is shortened until it is accepted"
            with pytest.raises(ContextOverflow, match="100"):
                walk(policy, Sampling(temperature=0.0, max_tokens=128))

    def test_an_unknown_model_or_a_wrong_key_ends_the_run(self) -> None:
        with (
            InstructServer(REPLY, refuse=lambda path, body: (404, "The model `fake` does not exist.")) as server,
            pytest.raises(TreestarError, match=r"refuses model 'fake' \(404\): The model `fake` does not exist"),
        ):
            walk(policy_for(server))
        assert len(server.bodies) == 1

    def test_status_500_is_not_tried_again_where_the_server_says_that_it_cannot(self) -> None:
        def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
            refused = needs_no_thinking(path, body)
            return (500, refused[1]) if refused else None

        with InstructServer(REPLY, continues=True, refuse=refuse) as server:
            policy = policy_for(server)
            assert walk(policy)[-1].answer == "14"
        assert not policy.server.failures


class TestProbe:
    """The unfinished count, and the answers to it."""

    @pytest.mark.parametrize(
        ("text", "tokens", "asked", "expected"),
        [
            (" 8 9", 4, True, "continues"),
            ("8", 2, True, "continues"),
            (" 8 ", 2, False, "continues"),
            ("8 9 10", 4, False, "restarts"),
            ("1 2 3 4 5 6 7 8", 2, True, "continues"),
            ("1 2 3 4 5 6 7 8 9 10", 20, True, "restarts"),
            ("1 2 3", 6, True, "restarts"),
            ("1, 2, 3", 6, True, "restarts"),
            ("Sure! Here", 4, True, "restarts"),
            ("**Counting", 4, True, "restarts"),
            ("好的", 4, True, "restarts"),
            ("", 6, True, "unclear"),
            ("80", 2, True, "unclear"),
            (" 7 7", 4, True, "unclear"),
            ("...", 1, True, "unclear"),
        ],
    )
    def test_what_answers_say(self, text: str, tokens: int, asked: bool, expected: str) -> None:
        assert verdict(Completion(text, True, 20, tokens, 0.0), asked) == expected

    def test_an_answer_in_the_field_of_thoughts_counts(self) -> None:
        assert verdict(Completion("", True, 20, 4, 0.0, thought=" 8 9"), True) == "continues"

    @pytest.mark.parametrize(("refuse", "way"), [(NEW_REPLIES["silently"], "continuing"), (FLAGS, "whole")])
    def test_an_unclear_answer_is_said_and_the_fields_decide(self, refuse: Refuse, way: str) -> None:
        with InstructServer(REPLY, refuse=refuse, counted="...") as server:
            policy = policy_for(server)
            sentence = asyncio.run(policy.describe())
        assert "a test does not show whether the server continues an unfinished reply" in sentence
        assert policy.way is not None
        assert policy.way.name == way

    def test_it_is_asked_once_however_many_searches_begin(self) -> None:
        with InstructServer(REPLY, continues=True, stops="named") as server:
            policy = policy_for(server)

            async def together() -> None:
                state = State(Problem(QUESTION))
                await asyncio.gather(*(policy.propose(state, 2, GREEDY, seed) for seed in range(5)))

            asyncio.run(together())
            asyncio.run(together())
        assert len(server.bodies) - len(server.steps()) == 1

    def test_a_search_that_gives_up_leaves_it_to_the_next(self) -> None:
        with InstructServer(REPLY, continues=True, stops="named") as server:
            policy = policy_for(server)

            async def give_up() -> None:
                task = asyncio.create_task(policy.propose(State(Problem(QUESTION)), 1, GREEDY, 0))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

            asyncio.run(give_up())
            assert walk(policy)[-1].answer == "14"

    def test_a_way_that_is_given_is_not_tried_out(self) -> None:
        with InstructServer(REPLY, continues=True, stops="named") as server:
            policy = policy_for(server, way="whole")
            assert isinstance(policy.way, WholeSolutions)
            assert walk(policy)[-1].answer == "14"
        assert len(server.bodies) == 1
        with pytest.raises(TreestarError, match="needs the model's tokenizer"):
            policy_for(server, way="completions")

    def test_texts_to_be_continued_need_no_test(self) -> None:
        policy = policy_at(1)
        assert (
            asyncio.run(policy.describe()) == "requests go to /completions, and the server continues the text as it is"
        )
        assert policy.report() == ""
