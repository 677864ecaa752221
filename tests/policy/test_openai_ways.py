"""How a policy has servers write steps: what it finds out about each kind of server, what it sends, and what it reads.

The servers are real HTTP servers that answer as a model that always writes the same reply (`support.instruct_server`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.instruct_server import InstructServer, Refuse, unknown_fields
from support.served_policy import policy_at
from support.tiny_model import byte_tokenizer, tiny_model

from treestar import GreedyConfig, MajorityConfig, MCTSConfig, Solver, TreestarError
from treestar.policy import ChatFormat, OpenAIPolicy, StepFormat
from treestar.policy.backends.openai import describe_server, load_openai_policy, template_at_the_server
from treestar.policy.backends.openai_answers import Completion
from treestar.policy.backends.openai_probe import verdict
from treestar.policy.backends.openai_ways import WholeSolutions
from treestar.policy.backends.prompt_tokens import prompt_tokens
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.formats import CotFormat, ThinkingFormat, TirFormat, family_named
from treestar.policy.formats.templates import template_of
from treestar.types import ContextOverflow, Execution, Problem, Sampling, State, Step

QUESTION = "What is 2 * (3 + 4)?"
REPLY = "First, \\boxed{3+4=7} is the inner sum.\n\nDoubling gives 14.\n\nThe final answer is \\boxed{14}."
GREEDY = Sampling(temperature=0.0, max_tokens=64)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def cot(model: str = "fake") -> CotFormat:
    return CotFormat(template_at_the_server, family_named(model))


def tir() -> TirFormat:
    return TirFormat(template_at_the_server, family_named("fake"))


def thinking(model: str = "qwen3") -> ThinkingFormat:
    return ThinkingFormat(template_at_the_server, family_named(model))


def policy_for(server: InstructServer, step_format: StepFormat | None = None, **more: Any) -> OpenAIPolicy:
    return policy_at(server.url, "fake", step_format=step_format or cot(), patience=5.0, **more)


def walk(policy: OpenAIPolicy, sampling: Sampling = GREEDY, printed: str = "") -> list[Step]:
    """The steps of one trajectory."""

    async def steps() -> list[Step]:
        state = State(Problem(QUESTION))
        while len(state.steps) < 20 and (not state.steps or state.steps[-1].ending in ("step", "code")):
            [step] = (await policy.propose(state, 1, sampling, 0)).steps
            execution = Execution(printed if step.code else "")
            state = State(state.problem, (*state.steps, step), (*state.executions, execution))
        await policy.close()
        return list(state.steps)

    return asyncio.run(steps())


def reply_of(steps: list[Step]) -> str:
    return "".join(step.text for step in steps)


def needs_no_thinking(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    if body["messages"][-1]["role"] != "assistant" or body.get("chat_template_kwargs") == {"enable_thinking": False}:
        return None
    return 400, "Assistant response prefill is incompatible with enable_thinking."


def not_both(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    both = body.get("continue_final_message") and body.get("add_generation_prompt", True)
    return (400, "Cannot set both `continue_final_message` and `add_generation_prompt` to True.") if both else None


def no_trailing_blanks(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    last = body["messages"][-1]
    ends_in_blanks = last["role"] == "assistant" and last["content"] != last["content"].rstrip()
    return (400, "messages: final assistant content cannot end with trailing whitespace") if ends_in_blanks else None


def no_prefill(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
    sentence = "This model does not support assistant message prefill. The conversation must end with a user message."
    return (400, sentence) if body["messages"][-1]["role"] == "assistant" else None


FLAGS = unknown_fields("add_generation_prompt", "continue_final_message")

CONTINUING: dict[str, dict[str, Any]] = {
    "vLLM": {"needs": "continue_final_message", "stops": "named kept", "refuse": not_both},
    "vLLM, Llama 3": {"needs": "continue_final_message", "stops": "named kept", "trims": True},
    "vLLM, a parser of thoughts takes all": {"needs": "continue_final_message", "stops": "named", "misfiles": True},
    "SGLang": {"needs": "continue_final_message", "stops": "named"},
    "TGI": {"needs": "continue_final_message", "stops": "kept"},
    "llama.cpp": {},
    "llama.cpp, thinking": {"refuse": needs_no_thinking},
    "Ollama": {"stops": "unnamed"},
    "a server that ignores stop strings": {"stops": "ignored"},
    "a strict server": {"refuse": FLAGS, "stops": "named"},
    "Anthropic, before": {"refuse": no_trailing_blanks, "trims": True},
    "DeepSeek": {"needs": "prefix", "refuse": FLAGS},
    "Mistral": {"needs": "prefix", "refuse": FLAGS, "repeats": True},
    "min_tokens unknown": {
        "needs": "continue_final_message",
        "stops": "named",
        "trims": True,
        "refuse": unknown_fields("min_tokens"),
    },
}


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


ANEW: dict[str, Refuse] = {
    "silently": lambda path, body: None,
    "OpenAI": unknown_fields("add_generation_prompt", "continue_final_message", "include_stop_str_in_output", "top_k"),
    "Anthropic": no_prefill,
}


class TestNewReplies:
    """Servers that begin a new reply after an unfinished one."""

    @pytest.mark.parametrize("kind", ANEW)
    def test_prose_is_asked_for_as_a_whole(self, kind: str) -> None:
        with InstructServer(REPLY, refuse=ANEW[kind]) as server:
            policy = policy_for(server)
            [step] = walk(policy)
        assert (step.text, step.ending, step.answer) == (REPLY, "answer", "14")
        [body] = server.steps()[-1:]
        assert "stop" not in body
        assert body["max_tokens"] == 8 * GREEDY.max_tokens, "a whole solution's limit"
        assert [message["role"] for message in body["messages"]] == ["user"]
        assert "tree searches are no better than those, because they have nothing to branch at" in policy.report()

    @pytest.mark.parametrize("kind", ANEW)
    def test_the_chat_format_asks_for_each_step(self, kind: str) -> None:
        with InstructServer(REPLY, refuse=ANEW[kind]) as server:
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
            assert {body["max_tokens"] for body in server.steps()[-4:]} == {64}
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
            ("8 9 10", 4, False, "anew"),
            ("1 2 3 4 5 6 7 8", 2, True, "continues"),
            ("1 2 3 4 5 6 7 8 9 10", 20, True, "anew"),
            ("1 2 3", 6, True, "anew"),
            ("1, 2, 3", 6, True, "anew"),
            ("Sure! Here", 4, True, "anew"),
            ("**Counting", 4, True, "anew"),
            ("好的", 4, True, "anew"),
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

    @pytest.mark.parametrize(("refuse", "way"), [(ANEW["silently"], "continuing"), (FLAGS, "whole")])
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
