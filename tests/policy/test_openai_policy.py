"""A policy behind a real server with the toy model: requests, responses, failures."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fault_proxy import Fault, FaultProxy
from support.served_policy import PROBLEMS, SEARCH, ServerProcess, policy_at, propose, shape, solve, texts

from treestar import SearchResult, Solver, TreestarError
from treestar.policy import ChatFormat, OpenAIPolicy, RStarFormat, load_policy
from treestar.policy.backends.openai import NOTHING, load_openai_policy
from treestar.policy.backends.openai_answers import CUT_TAGS, Completion, read_completion, stopped_text
from treestar.policy.backends.openai_dialect import OVERFLOW, WHOLE_DISTRIBUTION, Dialect
from treestar.policy.backends.openai_ways import GO_ON, Continuing, PlainText, Way
from treestar.policy.backends.remote_server import RemoteServerConfig, UnusableAnswer, backoff, retry_after
from treestar.policy.formats import ENDINGS, PARAGRAPH, BoundFormat, plain_template
from treestar.search import search_many
from treestar.types import ContextOverflow, Execution, Problem, Sampling, State, Step

SAMPLING = Sampling(temperature=1.0, max_tokens=48)
KEY = "sk-secret-of-these-tests"
STOPS = [cut for _, cut in CUT_TAGS.values()]
UNCUT = st.text(max_size=40).filter(lambda text: not any(stop in text for stop in STOPS))


@pytest.fixture(scope="module")
def port(completion_port: int) -> int:
    return completion_port


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    server = ServerProcess()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def undisturbed(port: int) -> list[list[tuple[Any, ...]]]:
    """The trees of PROBLEMS without faults."""
    return [shape(result) for result in solve(policy_at(port))]


class TestAnswers:
    """A server's responses, parsed into steps."""

    @given(st.sampled_from(list(ENDINGS)), UNCUT)
    def test_the_text_that_is_left_says_which_tag_ended_it(self, tag: str, before: str) -> None:
        text = before + tag
        left = text[: min(text.index(stop) for stop in STOPS if stop in text)]
        assert stopped_text(completion(left), STOPS) == (text, True)
        assert stopped_text(replace(completion(left), finished=False), STOPS) == (left, False), "cut by the limit"

    def test_the_second_part_of_a_tag_alone_is_not_a_tag(self) -> None:
        assert stopped_text(completion("Write "), STOPS) == ("Write ", False), "the server cut off nd_of_code>"

    @pytest.mark.parametrize(("kept", "ending"), [("<", "step"), ("<e", "code"), ("<en", "answer"), ("", "answer")])
    def test_steps_end_as_their_tags_say(self, kept: str, ending: str) -> None:
        way = PlainText(RStarFormat(), Dialect())
        step = step_in(way, State(Problem("1 + 1?")), completion(f"x = 2 \\boxed{{2}}\n{kept}"))
        assert (step.text, step.ending, step.tokens, step.log_probability) == ("x = 2 \\boxed{2}", ending, 7, -1.5)

    @pytest.mark.parametrize(("stop", "ending"), [(PARAGRAPH, "step"), (None, "answer")])
    def test_paragraphs_are_steps_where_the_server_says_that_one_ended(self, stop: str | None, ending: str) -> None:
        way = Continuing(ChatFormat(plain_template), Dialect())
        prose = State(Problem("1 + 1?"), (Step("First I add."),), (Execution(),))
        assert PARAGRAPH not in way.stops(prose)
        way.dialect.tells_stops = True
        assert PARAGRAPH in way.stops(prose)
        assert step_in(way, prose, replace(completion("That is all."), stop=stop)).ending == ending

    def test_a_chat_model_may_repeat_the_opening(self) -> None:
        way = Continuing(ChatFormat(plain_template), Dialect())
        reply = "Let's think step by step and solve the problem with code.<code>\n# Step 1: add\nx = 1 + 1\n<"
        assert step_in(way, State(Problem("1 + 1?")), completion(reply)).code == "# Step 1: add\nx = 1 + 1"

    def test_both_endpoints_and_their_log_probabilities(self) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        plain = {"text": "a", "finish_reason": "length", "logprobs": {"token_logprobs": [-1.0, -0.5]}}
        chat = {
            "message": {"content": "a"},
            "finish_reason": "length",
            "logprobs": {"content": [{"logprob": -1.0}, {"logprob": -0.5}]},
        }
        expected = Completion("a", False, 5, 2, -1.5)
        for each in (plain, chat):
            assert read_completion({"choices": [each], "usage": usage}) == expected
        without = {"choices": [plain | {"logprobs": None}], "usage": usage}
        assert read_completion(without) == replace(expected, log_probability=0.0)

    @pytest.mark.parametrize("reason", ["content_filter", "tool_calls", "function_call", "model_length"])
    def test_a_reply_that_something_else_cut_off_is_cut_off(self, reason: str) -> None:
        choice = {"message": {"role": "assistant"}, "finish_reason": reason}
        answer = read_completion({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 0}})
        assert answer == Completion("", False, 5, 0, 0.0)

    def test_a_thought_may_be_a_part_of_the_content(self) -> None:
        """As from Mistral's thinking models."""
        thought = {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "Seven "}, {"type": "text", "text": "twice."}],
        }
        message = {"content": [thought, {"type": "text", "text": "It is \\boxed{14}."}]}
        usage = {"prompt_tokens": 5, "completion_tokens": 9}
        answer = read_completion({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
        assert (answer.thought, answer.text) == ("Seven twice.", "It is \\boxed{14}.")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["choices", "usage", "text"]), inner),
        )
    )
    def test_garbage_is_unusable_and_nothing_else(self, answer: Any) -> None:
        with pytest.raises(UnusableAnswer):
            read_completion(answer)


def completion(text: str) -> Completion:
    return Completion(text, True, 10, 7, -1.5)


def step_in(way: Way, state: State, answer: Completion) -> Step:
    return way.step(state, way.read(state, NOTHING, answer, way.stops(state)))


class TestRequests:
    """The requests to the server."""

    def test_candidates_depend_only_on_seed_and_index(self, port: int) -> None:
        state = State(Problem("A farm has 12 cows and buys 30 more. It sells 7. How many cows are left?"))
        first, again, other, fewer = propose(
            policy_at(port), *[(state, n, SAMPLING, seed) for n, seed in ((4, 1), (4, 1), (4, 2), (2, 1))]
        )
        assert texts(first) == texts(again)
        assert texts(fewer) == texts(first)[:2]
        seeds = [json.loads(body)["seed"] for body in asked_bodies(port, state, n=8)]
        assert len(set(seeds)) == 8
        assert all(0 <= seed < 2**31 for seed in seeds)
        assert (other.prompt_tokens, other.generated_tokens) == (
            first.prompt_tokens,
            sum(step.tokens for step in other.steps),
        )
        assert all(step.log_probability < 0 < step.tokens for step in first.steps)

    def test_greedy_steps_are_those_of_the_model_itself(self, port: int) -> None:
        """The same states through the server and in this process, along a whole trajectory."""
        here, there = load_policy("toy", dtype="float32"), policy_at(port)
        state = State(PROBLEMS[1])
        greedy = Sampling(temperature=0.0, max_tokens=64)
        endings = []
        while len(state.steps) < 6 and "code" not in endings:
            [expected] = asyncio.run(here.propose(state, 1, greedy, 0)).steps
            [step] = propose(there, (state, 1, greedy, 0))[0].steps
            assert replace(step, log_probability=0) == replace(expected, log_probability=0)
            assert step.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
            endings.append(step.ending)
            state = State(state.problem, (*state.steps, step), (*state.executions, Execution()))
        assert {"step", "code"} == set(endings)

    def test_a_state_that_does_not_fit_is_said_so(self, port: int) -> None:
        with pytest.raises(ContextOverflow, match="maximum context length is 1024"):
            propose(policy_at(port), (State(Problem("long " * 2000)), 2, SAMPLING, 0))

    @pytest.mark.parametrize(
        "sentence",
        [
            "the request exceeds the available context size, try increasing it",
            "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
            "Input is too long: exceeds the context window of this model",
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
        ],
    )
    def test_how_servers_say_that_a_state_does_not_fit(self, sentence: str) -> None:
        assert OVERFLOW.search(sentence)

    def test_a_strict_server_is_told_no_more_than_it_takes(self, port: int) -> None:
        policy = policy_at(port, "toy-strict", step_format=ChatFormat(plain_template))
        state = State(Problem("1 + 1?"), (Step("x = 1 + 1", "x = 1 + 1"),), (Execution(),))
        [proposal] = propose(policy, (state, 2, SAMPLING, 0))
        assert len(proposal.steps) == 2
        assert policy.dialect.refused == {
            *WHOLE_DISTRIBUTION,
            "add_generation_prompt",
            "continue_final_message",
            "include_stop_str_in_output",
        }
        assert policy.way is not None
        assert policy.way.prompt(state, NOTHING)["messages"][-1] == {"role": "user", "content": GO_ON}
        assert "the server does not take: add_generation_prompt" in policy.report()

    @pytest.mark.parametrize("model", ["toy", "toy-says-stops"])
    def test_chat_continues_the_reply(self, port: int, model: str) -> None:
        state = State(Problem("1 + 1?"), (Step("x = 1 + 1", "x = 1 + 1"),), (Execution(),))
        policy = policy_at(port, model, step_format=ChatFormat(plain_template), way="continuing")
        [first, second] = propose(policy, (state, 1, SAMPLING, 0), (state, 1, SAMPLING, 1))
        assert first.prompt_tokens == second.prompt_tokens > 0
        assert policy.way is not None
        reply = policy.way.prompt(state, NOTHING)["messages"][-1]["content"]
        assert reply.endswith("<code>\nx = 1 + 1\n<end_of_step>\n")
        assert policy.dialect.tells_stops == (model == "toy-says-stops")
        assert policy.report() == ""

    def test_refusals_end_the_run_in_one_sentence_without_the_key(self, port: int) -> None:
        with pytest.raises(TreestarError, match=r"refuses model 'toy-talkative' \(400\): cannot do") as caught:
            propose(policy_at(port, "toy-talkative"), (State(Problem("1 + 1?")), 1, SAMPLING, 0))
        assert "[key]" in str(caught.value), "the server quoted it"
        assert KEY not in str(caught.value)
        assert caught.value.__suppress_context__

    def test_a_refused_key_is_said_without_what_the_server_quotes_of_it(self, port: int) -> None:
        with (
            FaultProxy(port, lambda _: "401") as proxy,
            pytest.raises(TreestarError, match=r"\(401\): the key is missing or wrong: set OPENAI_API_KEY") as caught,
        ):
            propose(policy_at(proxy.url), (State(Problem("1 + 1?")), 1, SAMPLING, 0))
        assert KEY[:8] not in str(caught.value)
        assert len(proxy.bodies) == 1, "asking again would not help"


def asked_bodies(port: int, state: State, n: int) -> list[bytes]:
    with FaultProxy(port) as proxy:
        propose(policy_at(proxy.url), (state, n, SAMPLING, 0))
    return proxy.bodies


class TestFaults:
    """A failing server, and a search that continues."""

    def test_a_search_survives_and_its_trees_are_the_same(self, port: int, undisturbed: list[Any]) -> None:
        kinds: list[Fault] = ["drop", "half", "500", "502", "429", "garbage", "empty", "aborted", "stall"]

        def fault(number: int) -> Fault | None:
            return kinds[number // 3] if number % 3 == 1 and number // 3 < len(kinds) else None

        with FaultProxy(port, fault) as proxy:
            policy = policy_at(proxy.url, timeout=8.0)
            results = solve(policy)
        assert [shape(result) for result in results] == undisturbed
        assert proxy.injected == dict.fromkeys(kinds, 1)
        failures = policy.server.failures
        assert failures["timeout"] >= 1, "more on a machine that is busier than this one"
        assert {kind: times for kind, times in failures.items() if kind != "timeout"} == {
            "connection failed": 2,
            "status 500": 1,
            "status 502": 1,
            "status 429": 1,
            "unusable answer": 3,
        }
        assert len(proxy.bodies) > sum(failures.values())
        assert policy.report().startswith("requests repeated: ")
        assert "3 x unusable answer, 2 x connection failed" in policy.report()

    @pytest.mark.slow
    def test_a_server_that_is_killed_and_comes_back_loses_no_problem(
        self, server: ServerProcess, undisturbed: list[Any]
    ) -> None:
        """Killed between two waves, with requests of other problems in flight; back once a request has failed."""
        policy = policy_at(server.port)
        waves = 0

        def on_progress(_: object) -> None:
            nonlocal waves
            waves += 1
            if waves == 2:
                server.kill()

        with Solver(policy, SEARCH, on_progress=on_progress) as solver:
            search = search_many(PROBLEMS, SEARCH, solver.components, on_progress=on_progress)
            running = solver.submit(search)
            while not policy.server.failures:
                assert not running.done()
                time.sleep(0.01)
            server.start()
            results = running.result()
        assert [shape(result) for result in results] == undisturbed
        assert set(policy.server.failures) == {"connection failed"}

    def test_a_server_that_stays_away_ends_the_run_and_keeps_what_is_finished(
        self, port: int, undisturbed: list[Any], tmp_path: Path
    ) -> None:
        out = tmp_path / "results.jsonl"
        down = False
        with FaultProxy(port, lambda _: "500" if down else None) as proxy:
            policy = policy_at(proxy.url, patience=1.0)

            def on_result(_: SearchResult) -> None:
                nonlocal down
                down = True

            with (
                Solver(policy, SEARCH, concurrency=1) as solver,
                pytest.raises(TreestarError, match=r"gives no usable answer.* with status 500 \(scripted\)") as caught,
            ):
                solver.solve_many(PROBLEMS, out, on_result)
            assert proxy.url in str(caught.value)
            # Requests of other candidates may fail after the one that ended the run.
            counted = re.search(r"(\d+) x status 500", str(caught.value))
            assert counted is not None
            assert 0 < int(counted[1]) <= policy.server.failures["status 500"]
            assert len(out.read_text().splitlines()) == 1
            down = False
            results = solve(policy, out)
        assert [shape(result) for result in results[1:]] == undisturbed[1:]
        assert results[0].tree is None, "read back"

    def test_a_wait_beyond_the_patience_is_not_waited_for(self, port: int) -> None:
        with (
            FaultProxy(port, lambda _: "later") as proxy,
            pytest.raises(TreestarError, match="the server asks to wait 3600 s"),
        ):
            propose(policy_at(proxy.url, patience=100.0), (State(Problem("1 + 1?")), 1, SAMPLING, 0))
        assert len(proxy.bodies) == 1

    def test_no_more_requests_in_flight_than_allowed(self, port: int) -> None:
        """Stalled requests keep their places, so that another one never reaches the server."""
        with FaultProxy(port, lambda _: "stall") as proxy:
            policy = OpenAIPolicy("toy", proxy.url, BoundFormat(), RemoteServerConfig(concurrency=2))

            async def some() -> None:
                task = asyncio.create_task(policy.propose(State(PROBLEMS[0]), 5, SAMPLING, 0))
                while len(proxy.bodies) < 2:
                    await asyncio.sleep(0.01)
                for _ in range(20):
                    await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await policy.close()

            asyncio.run(some())
        assert len(proxy.bodies) == 2

    def test_pauses_grow_and_honour_retry_after(self) -> None:
        assert [0.25 * 2**n <= backoff(n + 1) <= 0.5 * 2**n for n in range(6)] == [True] * 6
        assert backoff(10_000) <= 30
        assert len({backoff(3) for _ in range(10)}) > 1, "jitter"
        assert (retry_after("7"), retry_after("0.5"), retry_after(None), retry_after("soon")) == (7, 0.5, 0, 0)
        assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
        assert retry_after("Wed, 21 Oct 2215 07:28:00 GMT") > 1e9


class TestNames:
    """From a string to a policy."""

    @pytest.mark.parametrize(
        ("name", "url", "form"),
        [
            ("openai:toy@http://localhost:8000", "http://localhost:8000/v1", "bound"),
            ("openai:Qwen/Qwen3-8B@http://10.0.0.1:8000/v1/", "http://10.0.0.1:8000/v1", "thinking"),
            ("openai:a@b@https://host/api/openai", "https://host/api/openai", "cot"),
            ("openai:gpt-x", "https://api.openai.com/v1", "cot"),
        ],
    )
    def test_names(self, name: str, url: str, form: str) -> None:
        policy = load_policy(name)
        assert isinstance(policy, OpenAIPolicy)
        assert (policy.server.url, policy.format.name) == (url, form)
        assert load_policy(name, "rstar").format.name == "rstar"
        assert KEY not in policy.name

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("openai:@http://localhost", "names no model"),
            ("openai:", "names no model"),
            ("openai:m@http://user:word@host/v1", "must not contain a key or password"),
            ("openai:m@http:///v1", "is not the URL of a server"),
            ("openai:m@localhost:8000", "write openai:m@http://localhost:8000"),
            ("openai:org/m@gpu-1.cluster:8000/v1", "write openai:org/m@http://gpu-1.cluster:8000/v1"),
        ],
    )
    def test_names_that_name_nothing(self, name: str, sentence: str) -> None:
        with pytest.raises(TreestarError, match=sentence) as caught:
            load_openai_policy(name, None, RemoteServerConfig())
        assert "word" not in str(caught.value).replace("password", "")

    def test_a_key_that_cannot_be_sent_is_said_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-with\nline")
        with pytest.raises(TreestarError, match="OPENAI_API_KEY contains characters") as caught:
            policy_at(1)
        assert "sk-with" not in str(caught.value)
