"""Models whose files are on this machine: prompts as token ids, and the tokens of steps kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.instruct_server import InstructServer, unknown_fields
from support.served_policy import policy_at, propose
from support.server_kinds import (
    GREEDY,
    QUESTION,
    REPLY,
    policy_for,
    reply_of,
    walk,
)
from support.tiny_model import byte_tokenizer, tiny_model

from treestar.policy.backends.openai import describe_server, load_openai_policy, template_at_the_server
from treestar.policy.backends.prompt_tokens import prompt_tokens
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.formats import CotFormat, ThinkingFormat, family_named
from treestar.policy.formats.templates import template_of
from treestar.types import Execution, Problem, State, Step, ThinkingBudget, TreestarError

pytestmark = pytest.mark.usefixtures("no_proxy")


class TestModelsOnThisMachine:
    """`openai:MODEL@URL` where the files of MODEL, without its weights, are on this machine."""

    def save(self, folder: Path) -> None:
        model, _ = tiny_model()
        model.config.save_pretrained(folder)
        byte_tokenizer().save_pretrained(folder)

    def test_a_folder(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        with InstructServer(REPLY, tokenizer=byte_tokenizer(), stops="named kept") as server:
            policy = load_openai_policy(f"openai:{tmp_path}@{server.url}", "cot", RemoteServerConfig())
            assert policy.format.prompt(State(Problem(QUESTION))).startswith(f"<|user|>{QUESTION}")
            assert [step.ending for step in walk(policy)] == ["step", "step", "answer"]
        assert "sent as token ids" in policy.report()

    def test_a_hub_id_in_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cached = tmp_path / "models--org--tiny"
        self.save(cached / "snapshots" / "abc")
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("abc")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        found, missing = (
            load_openai_policy(f"openai:org/{name}@http://localhost", None, RemoteServerConfig())
            for name in ("tiny", "other")
        )
        assert found.tokenizer is not None
        assert missing.tokenizer is None
        assert missing.format.name == "cot"

    def test_the_server_is_described(self, tmp_path: Path) -> None:
        self.save(tmp_path)
        with InstructServer(REPLY, continues=True, stops="named") as server:
            for model in ("fake", str(tmp_path)):
                assert "the server continues an unfinished reply" in describe_server(
                    f"openai:{model}@{server.url}", "cot"
                )


class TestCompletions:
    """Prompts that are rendered here, with the model's own tokenizer."""

    def test_prompts_are_token_ids_and_steps_keep_theirs(self) -> None:
        tokenizer = byte_tokenizer(bos=True)
        form = CotFormat(template_of(tokenizer), family_named("fake"))
        with InstructServer(REPLY, tokenizer=tokenizer, stops="named kept", adds_bos=True) as server:
            policy = policy_for(server, form, tokenizer=tokenizer)
            steps = walk(policy)
        assert reply_of(steps) == REPLY
        assert [step.ending for step in steps] == ["step", "step", "answer"]
        expected = prompt_tokens(tokenizer, form, State(Problem(QUESTION)))
        assert expected.count(tokenizer.bos_token_id) == 1
        for body, step in zip(server.steps(), steps, strict=True):
            assert body["prompt"] == expected
            assert body["skip_special_tokens"] is False
            expected = [*expected, *step.token_ids]
        assert tokenizer.decode(steps[-1].token_ids) == steps[-1].text, "without the end-of-sequence token"
        assert "sent as token ids" in policy.report()

    def test_the_tokens_of_a_step_are_never_made_again(self) -> None:
        tokenizer = byte_tokenizer()
        form = CotFormat(template_of(tokenizer), family_named("fake"))
        odd = Step("Hi.\n\n", token_ids=(7, 7, 7))
        with InstructServer(REPLY, tokenizer=tokenizer, stops="named kept") as server:
            policy = policy_for(server, form, tokenizer=tokenizer)
            asyncio.run(policy.propose(State(Problem(QUESTION), (odd,), (Execution(),)), 1, GREEDY, 0))
        assert server.bodies[-1][1]["prompt"][-3:] == [7, 7, 7]

    @pytest.mark.parametrize("adds_bos", [True, False])
    @pytest.mark.parametrize("wants", [True, False])
    def test_a_text_is_read_with_exactly_one_beginning(self, wants: bool, adds_bos: bool) -> None:
        tokenizer = byte_tokenizer(bos=wants)
        form = CotFormat(template_of(tokenizer), family_named("fake"))
        with InstructServer(
            REPLY, tokenizer=tokenizer, takes_ids=False, returns_ids=False, adds_bos=adds_bos and wants, stops="named"
        ) as server:
            policy = policy_for(server, form, tokenizer=tokenizer)
            assert reply_of(walk(policy)) == REPLY
        for body in server.steps():
            assert body["prompt"].count("<s>") == int(wants and not adds_bos)
        assert "sent as text, because the server takes no token ids" in policy.report()

    @pytest.mark.parametrize("returns_ids", [True, False])
    def test_a_blank_line_within_a_formula_ends_nothing(self, returns_ids: bool) -> None:
        reply = "We have\n\\[\nx\n\n= 14\n\\]\n\nSo \\boxed{14}."
        tokenizer = byte_tokenizer()
        form = CotFormat(template_of(tokenizer), family_named("fake"))
        with InstructServer(reply, tokenizer=tokenizer, stops="named kept", returns_ids=returns_ids) as server:
            steps = walk(policy_for(server, form, tokenizer=tokenizer))
        assert [step.text for step in steps] == ["We have\n\\[\nx\n\n= 14\n\\]\n\n", "So \\boxed{14}."]
        assert bool(steps[0].token_ids) == returns_ids

    def test_thoughts_and_channels_are_continued(self) -> None:
        """gpt-oss: the reply with its channels, as text that nobody has parsed."""
        reply = "<|channel|>analysis<|message|>Is it \\boxed{12}?\n\nNo.<|end|><|channel|>final<|message|>\\boxed{14}"
        tokenizer = byte_tokenizer()
        form = ThinkingFormat(template_of(tokenizer), family_named("gpt-oss"))
        with InstructServer(reply, tokenizer=tokenizer, stops="named kept") as server:
            steps = walk(policy_for(server, form, tokenizer=tokenizer))
        assert (reply_of(steps), steps[-1].answer) == (reply, "14")
        assert len(steps) == 2

    def test_a_server_without_completions_is_asked_in_chats(self) -> None:
        tokenizer = byte_tokenizer()
        form = CotFormat(template_of(tokenizer), family_named("fake"))
        with InstructServer(REPLY, continues=True, stops="named") as server:
            policy = policy_for(server, form, tokenizer=tokenizer)
            assert reply_of(walk(policy)) == REPLY
        assert "/chat/completions" in policy.report()
        assert policy.way is not None
        assert policy.way.name == "continuing"


class TestThinkingBudgets:
    """Thoughts that are forced where a server continues token ids, and where it is asked for whole replies."""

    THOUGHT = "Double seven.</think>\n\nSo \\boxed{14}"

    def tokenizer(self) -> Any:
        tokenizer = byte_tokenizer()
        tokenizer.add_tokens(["<think>", "</think>"])
        tokenizer.chat_template += "<think>\n"
        return tokenizer

    def propose(
        self, server: InstructServer, budget: ThinkingBudget, with_tokenizer: bool = True, state: State | None = None
    ) -> Step:
        tokenizer = self.tokenizer() if with_tokenizer else None
        template = template_of(tokenizer) if with_tokenizer else template_at_the_server
        way = "completions" if with_tokenizer else "whole"
        policy = policy_at(
            server.url, "fake", step_format=ThinkingFormat(template, family_named("")), tokenizer=tokenizer, way=way
        )
        sampling = replace(GREEDY, thinking=budget)
        return propose(policy, (state or State(Problem(QUESTION)), 1, sampling, 0))[0].steps[0]

    def test_an_early_end_is_taken_back(self) -> None:
        with InstructServer(self.THOUGHT, tokenizer=self.tokenizer(), stops="named kept") as server:
            step = self.propose(server, ThinkingBudget(waits=1))
        assert (step.text, step.ending) == ("Double seven.Wait", "step")
        assert self.tokenizer().decode(step.token_ids) == step.text

    def test_at_the_limit_the_closing_token_itself_is_sent(self) -> None:
        tokenizer = self.tokenizer()
        with InstructServer(self.THOUGHT, tokenizer=tokenizer, stops="named kept") as server:
            step = self.propose(server, ThinkingBudget(max_tokens=0))
            assert (step.text, step.ending, step.tokens) == ("</think>\n\nFinal Answer:", "step", 0)
            assert not server.steps(), "nothing was generated"
            ended = State(Problem(QUESTION), (step,), (Execution(),))
            self.propose(server, ThinkingBudget(max_tokens=0), state=ended)
        sent = server.steps()[0]["prompt"]
        final = [tokenizer.convert_tokens_to_ids("</think>"), *tokenizer("\n\nFinal Answer:")["input_ids"]]
        assert sent[-len(final) :] == final

    def test_a_server_that_writes_whole_replies_is_told_the_limit(self) -> None:
        with InstructServer(self.THOUGHT) as server:
            self.propose(server, ThinkingBudget(max_tokens=64), with_tokenizer=False)
            assert server.steps()[-1]["thinking_token_budget"] == 64
            with pytest.raises(TreestarError, match="cannot be held to a thinking budget"):
                self.propose(server, ThinkingBudget(waits=1), with_tokenizer=False)
        with (
            InstructServer(self.THOUGHT, refuse=unknown_fields("thinking_token_budget")) as server,
            pytest.raises(TreestarError, match="Unknown parameter: 'thinking_token_budget'"),
        ):
            self.propose(server, ThinkingBudget(max_tokens=64), with_tokenizer=False)
