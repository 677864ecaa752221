"""How a policy has servers write steps, by kinds of servers: what it sends, and what it reads.

The servers are real HTTP servers that answer as a model that always writes the same reply (`support.instruct_server`).
"""

from __future__ import annotations

from typing import Any

import pytest
from support.instruct_server import InstructServer
from support.served_policy import policy_at
from support.server_kinds import (
    CONTINUING,
    GREEDY,
    NEW_REPLIES,
    QUESTION,
    REPLY,
    cot,
    policy_for,
    reply_of,
    thinking,
    tir,
    walk,
)

from treestar import GreedyConfig, MajorityConfig, MCTSConfig, Solver
from treestar.policy import ChatFormat
from treestar.policy.backends.openai import template_at_the_server
from treestar.policy.backends.openai_ways import whole_step
from treestar.policy.formats import INSTRUCT, CodeFormat, CotFormat, StepFormat, ThinkingFormat, family_named
from treestar.types import Problem, Sampling, State

pytestmark = pytest.mark.usefixtures("no_proxy")


class TestContinuing:
    """Servers that go on with an unfinished reply."""

    @pytest.mark.parametrize("kind", CONTINUING)
    def test_steps_are_paragraphs_and_their_text_is_the_reply(self, kind: str) -> None:
        with InstructServer(REPLY, continues=True, **CONTINUING[kind]) as server:
            policy = policy_for(server)
            steps = walk(policy)
        assert reply_of(steps) == REPLY
        assert [step.ending for step in steps] == ["step", "step", "answer"]
        assert steps[-1].answer == "14"
        assert "the server continues an unfinished reply" in policy.report()

    def test_the_reply_so_far_is_the_last_message_unchanged(self) -> None:
        with InstructServer(REPLY, continues=True, needs="continue_final_message", stops="named") as server:
            policy = policy_for(server)
            walk(policy)
        first, second, _ = server.steps()
        assert [each["role"] for each in first["messages"]] == ["user"], "nothing to continue yet"
        assert "continue_final_message" not in first
        assert second["messages"][-1] == {"role": "assistant", "content": REPLY.split("Doubling")[0]}
        assert (second["add_generation_prompt"], second["continue_final_message"]) == (False, True)
        assert second["stop"] == ["\n\n"]

    def test_a_server_that_leaves_no_trace_of_a_blank_line_is_not_stopped_there(self) -> None:
        with InstructServer(REPLY, continues=True, stops="unnamed") as server:
            steps = walk(policy_for(server))
        assert all("stop" not in body for body in server.steps())
        assert steps[0].tokens > len(steps[0].text.split()), "what it wrote beyond the paragraph counts"

    @pytest.mark.parametrize("stops", ["named", "kept", "named kept"])
    def test_a_blank_line_within_a_formula_or_code_ends_nothing(self, stops: str) -> None:
        reply = "We have\n\\[\nx\n\n= 14\n\\]\n\n```\na\n\nb\n```\n\nSo \\boxed{14}."
        with InstructServer(reply, continues=True, stops=stops) as server:
            steps = walk(policy_for(server))
            assert len(server.steps()) == 5
        assert [step.text for step in steps] == [
            "We have\n\\[\nx\n\n= 14\n\\]\n\n",
            "```\na\n\nb\n```\n\n",
            "So \\boxed{14}.",
        ]
        assert reply_of(steps) == reply

    def test_a_step_that_goes_on_ends_at_the_token_limit(self) -> None:
        reply = "\\[\n" + "x\n\n" * 30 + "\\]\n\nSo \\boxed{14}."
        with InstructServer(reply, continues=True, stops="named") as server:
            [step] = walk(policy_for(server), Sampling(temperature=0.0, max_tokens=8))[:1]
        assert step.tokens <= 8
        assert sum(body["max_tokens"] for body in server.steps()[:1]) == 8

    def test_thoughts_in_a_field_of_their_own(self) -> None:
        """As from a server whose parser of thoughts files the beginning of a reply there."""
        with InstructServer(REPLY, continues=True, stops="named", thought="Seven twice.") as server:
            steps = walk(policy_for(server))
        assert reply_of(steps) == f"<think>Seven twice.</think>{REPLY}"

    def test_the_chat_format_is_continued_too(self) -> None:
        code = "# Step 1: add\nx = 3 + 4\n<end_of_step>\n# Now print\nprint(2 * x)\n<end_of_code>\n"
        opening = "Let's think step by step and solve the problem with code.<code>\n"
        reply = f"{opening}{code}<output>14<end_of_output>\n<answer>It is \\boxed{{14}}.<end_of_answer>"
        with InstructServer(reply, continues=True, stops="named") as server:
            steps = walk(policy_for(server, ChatFormat(template_at_the_server)), printed="14\n")
        assert [step.ending for step in steps] == ["step", "code", "answer"]
        assert steps[-1].answer == "14"

    def test_the_last_paragraph_of_the_chat_format_may_hold_a_blank_line(self) -> None:
        reply = "3 + 4 is 7.\n\nSo\n$$\n2 \\cdot 7\n\n= 14\n$$\nand it is \\boxed{14}."
        with InstructServer(reply, continues=True, stops="named") as server:
            steps = walk(policy_for(server, ChatFormat(template_at_the_server)))
        assert [step.ending for step in steps] == ["step", "answer"]
        assert steps[-1].answer == "14"


class TestNewReplies:
    """Servers that begin a new reply after an unfinished one."""

    @pytest.mark.parametrize("kind", NEW_REPLIES)
    def test_prose_is_asked_for_as_a_whole(self, kind: str) -> None:
        with InstructServer(REPLY, refuse=NEW_REPLIES[kind]) as server:
            policy = policy_for(server)
            [step] = walk(policy)
        assert (step.text, step.ending, step.answer) == (REPLY, "answer", "14")
        [body] = server.steps()[-1:]
        assert "stop" not in body
        assert body["max_tokens"] == 8 * GREEDY.max_tokens, "a whole solution's limit"
        assert [message["role"] for message in body["messages"]] == ["user"]
        assert "tree searches are no better than those, because they have nothing to branch at" in policy.report()

    @pytest.mark.parametrize("stops", ["unnamed", "named", "named kept"])
    @pytest.mark.parametrize("kind", NEW_REPLIES)
    def test_the_chat_format_asks_for_each_step(self, kind: str, stops: str) -> None:
        with InstructServer(REPLY, stops=stops, refuse=NEW_REPLIES[kind]) as server:
            policy = policy_for(server, ChatFormat(template_at_the_server))
            steps = walk(policy)
        assert [step.text for step in steps] == REPLY.split("\n\n")
        assert steps[-1].answer == "14"
        assert "asked for with a further message" in policy.report()

    @pytest.mark.parametrize(
        "config", [GreedyConfig(), MajorityConfig(samples=2), MCTSConfig(max_rollouts=4, children=2)]
    )
    @pytest.mark.parametrize("step_format", ["chat", "cot", "tir"])
    def test_searches_end_with_the_answer(self, step_format: Any, config: Any) -> None:
        """Case K1: an instruct model that mentions a box early, whatever it is asked."""
        with (
            InstructServer(REPLY) as server,
            Solver(f"openai:fake@{server.url}", config, step_format=step_format) as solver,
        ):
            assert solver.solve(QUESTION).answer == "14"

    @pytest.mark.parametrize("step_format", ["chat", "cot", "tir"])
    @pytest.mark.parametrize(
        "reply",
        [
            "The answer goes into \\boxed{}.\n\nSeven twice is 14.\n\n\\boxed{14}",
            "Problem: What is 2 * (3 + 4)?\n\nPut the answer in \\boxed{answer}.\n\nIt is $2 \\cdot 7 = \\boxed{14}$.",
            "## Step 1\n\n$3 + 4 = 7$\n\n## Step 2: Double\n\n$14$\n\n**Answer** $\\boxed{14}$\n\nI hope it helps!",
            "<think>\nMaybe \\boxed{12}? No.\n</think>\n\nIt is \\boxed{14}.",
            "\\[\n3 + 4 = \\boxed{7}\n\\]\n\nTherefore\n\n\\[\n2 \\cdot 7 = 14\n\\]\n\nTherefore, the final answer is: "
            "$\\boxed{14}$. I hope it is correct.",
        ],
    )
    def test_how_instruct_models_reply(self, step_format: str, reply: str) -> None:
        forms = {"chat": ChatFormat(template_at_the_server), "cot": cot(), "tir": tir()}
        with InstructServer(reply) as server:
            assert walk(policy_for(server, forms[step_format]))[-1].answer == "14"

    @pytest.mark.parametrize("output", ["", "```output\n12\n```\n"], ids=["waits for its output", "makes it up"])
    def test_programs_are_run_although_the_solution_is_whole(self, output: str) -> None:
        program = "I compute.\n\nThen:\n```python\nprint(2 * (3 + 4))\n```\n"
        with InstructServer(f"{program}{output}So it is \\boxed{{14}}.") as server:
            steps = walk(policy_for(server, tir()), printed="14\n")
        assert [(step.text, step.code, step.answer) for step in steps] == [
            (program, "print(2 * (3 + 4))\n", None),
            ("So it is \\boxed{14}.", "", "14"),
        ]
        *_, reply, request = server.steps()[-1]["messages"]
        assert reply == {"role": "assistant", "content": f"{program}```output\n14\n```\n"}
        assert request["role"] == "user"

    def test_a_solution_that_the_limit_cuts_off_has_no_answer(self) -> None:
        with InstructServer(REPLY) as server:
            [step] = walk(policy_for(server), Sampling(temperature=0.0, max_tokens=1))
        assert (step.ending, step.answer) == ("truncated", None)

    @pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
    def test_thoughts_come_before_the_reply(self, field: str) -> None:
        """As from vLLM with a parser of thoughts, and for gpt-oss, whose channels it reads itself."""
        with InstructServer("It is \\boxed{14}.", thought="Is it \\boxed{12}?\n\nNo.", thought_field=field) as server:
            [step] = walk(policy_for(server, thinking()))
        assert step.text == "<think>Is it \\boxed{12}?\n\nNo.</think>It is \\boxed{14}."
        assert step.answer == "14"

    @pytest.mark.parametrize("continues", [True, False])
    def test_thoughts_are_never_continued_in_chats(self, continues: bool) -> None:
        with InstructServer("It is \\boxed{14}.", continues=continues, thought="Seven twice.") as server:
            policy = policy_for(server, thinking("gpt-oss"))
            assert [step.answer for step in walk(policy)] == ["14"]
        assert "a thought cannot be continued" in policy.report()
        assert server.steps()[0]["max_tokens"] == 32 * GREEDY.max_tokens

    def test_a_thought_that_the_limit_cuts_off_is_no_answer(self) -> None:
        with InstructServer("It is \\boxed{14}.", thought="Hm, is it \\boxed{12}? " * 20) as server:
            [step] = walk(policy_for(server, thinking()), Sampling(temperature=0.0, max_tokens=1))
        assert step.text.startswith("<think>Hm, is it")
        assert (step.ending, step.answer) == ("truncated", None)

    def test_other_formats_tell_a_model_that_can_think_not_to(self) -> None:
        with InstructServer(REPLY) as server:
            walk(policy_at(server.url, "Qwen3-8B", step_format=cot("Qwen3-8B")))
            walk(policy_at(server.url, "Qwen3-8B", step_format=thinking()))
        fields = [body.get("chat_template_kwargs") for body in server.steps()]
        assert fields == [{"enable_thinking": False}, None]


@pytest.mark.parametrize(
    "step_format", [made(template_at_the_server, INSTRUCT) for made in (CotFormat, ThinkingFormat)]
)
def test_a_complete_reply_is_read_to_its_end_however_often_it_repeats_itself(step_format: StepFormat) -> None:
    thought = "<think>\nLet me think.\n\nHmm.\n\nHmm.\n\nHmm.\n\nHmm.\n\nSo 2+3=5.\n</think>\n\n"
    reply = thought + "The answer is \\boxed{5}."
    step = whole_step(step_format, State(Problem("2 + 3?")), reply, ended=True)
    assert (step.text, step.ending, step.answer) == (reply, "answer", "5")
    cut = whole_step(step_format, State(Problem("2 + 3?")), reply, ended=False)
    assert (cut.ending, cut.text.count("Hmm.")) == ("endless", 3)


def test_the_chat_format_can_be_asked_for_as_a_whole() -> None:
    reply = "2 + 3 is 5.\n\n5 is 5.\n\nThe answer is \\boxed{5}."
    step = whole_step(ChatFormat(template_at_the_server), State(Problem("2 + 3?")), reply, ended=True)
    assert (step.text, step.ending, step.answer) == (reply, "answer", "5")


@pytest.mark.parametrize(("thinking_off", "way", "steps"), [(False, "whole", 32), (True, "continuing", 1)])
def test_a_program_after_a_thought_is_not_continued(thinking_off: bool, way: str, steps: int) -> None:
    code = CodeFormat(template_at_the_server, family_named("qwen3"))
    with InstructServer("```python\nprint(14)\n```", continues=True, stops="named") as server:
        policy = policy_for(server, code)
        policy.dialect.thinking_off = thinking_off
        walk(policy)
    assert policy.way is not None
    assert (policy.way.name, policy.way.limit(GREEDY)) == (way, steps * GREEDY.max_tokens)
