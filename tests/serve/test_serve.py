"""`treestar serve` as clients see it: a real process with the toy model, and the official `openai` client."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from support.scripted import ScriptedPolicy, SlowPolicy, random_script
from support.serving import KEY, QUESTION, ask, client_of, host_of, server_over

from treestar import MCTSConfig, Solver
from treestar.cli import main
from treestar.serve.server import API_KEY_VARIABLE
from treestar.types import Proposal, Sampling, State, ThinkingBudget

HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
ENDLESS = {"treestar": {"strategy": "majority", "samples": 10**9, "in_flight": 2}}
"""A search that only the client's disconnect or the server's end can stop."""


@contextmanager
def treestar_serve(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address, once it listens; killed if it still runs at the end."""
    command = [str(Path(sys.executable).parent / "treestar"), "serve", "--port", "0", *options]
    environment = {**os.environ, API_KEY_VARIABLE: KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address is not None, "the server ended before it listened"
            yield process, address.group()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    options = ("--max-rollouts", "4", "--children", "4", "--concurrency", "2", "--queue", "2")
    with treestar_serve(*options, "--keep-alive-seconds", "0.1") as (_, address):
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> OpenAI:
    return client_of(address)


def get(address: str, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, Any]:
    """A plain request, for input that the client would not send."""
    with closing(http.client.HTTPConnection(host_of(address), timeout=60)) as connection:
        connection.request(method, path, body, HEADERS)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def wait_until(address: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Return once the server's health is as requested."""
    for _ in range(1200):
        if wanted(get(address, "/health")[1]):
            return
        time.sleep(0.05)
    raise AssertionError(f"it stayed {get(address, '/health')}")


def test_the_models(client: OpenAI) -> None:
    [model] = client.models.list()
    assert model.id == "treestar"
    assert model.treestar["policy"] == "toy"
    assert client.models.retrieve("treestar").id == "treestar"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_the_answer_is_that_of_the_search(client: OpenAI) -> None:
    completion = ask(client)
    with Solver(search=MCTSConfig(max_rollouts=4, children=4)) as solver:
        result = solver.solve(QUESTION)
    [choice] = completion.choices
    assert choice.message.content.endswith(f"\\boxed{{{result.answer}}}")
    assert all(step.code in choice.message.content for step in result.trajectory)
    assert choice.finish_reason == "stop"
    assert completion.usage.completion_tokens == result.stats.generated_tokens
    assert completion.usage.prompt_tokens == result.stats.prompt_tokens
    assert completion.usage.total_tokens == result.stats.generated_tokens + result.stats.prompt_tokens
    assert completion.treestar["answer"] == result.answer
    assert completion.treestar["confidence"] == result.confidence
    assert completion.treestar["trajectory"] == result.to_json()["trajectory"]


def test_a_stream_says_the_same(client: OpenAI) -> None:
    whole = ask(client)
    first, *chunks = ask(client, stream=True, stream_options={"include_usage": True})
    *steps, last, usage = chunks
    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content for chunk in steps) == whole.choices[0].message.content
    assert len(steps) == len(whole.treestar["trajectory"]) + 1
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.treestar["answer"] == whole.treestar["answer"]
    assert usage.choices == []
    assert usage.usage == whole.usage
    assert all(chunk.usage is None for chunk in [first, *steps, last])
    assert len({chunk.id for chunk in [first, *chunks]}) == 1


def test_a_stream_without_usage(client: OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_budget_that_ends_the_search_without_an_answer(client: OpenAI) -> None:
    completion = ask(client, max_completion_tokens=1)
    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "No answer was found."
    assert completion.treestar["answer"] is None
    assert completion.treestar["stopped"] == "max_generated_tokens"


def test_a_request_chooses_its_search(client: OpenAI) -> None:
    completion = ask(client, seed=5, temperature=0.5, extra_body={"treestar": {"strategy": "majority", "samples": 3}})
    assert completion.treestar["strategy"] == "majority"
    assert completion.treestar["config"]["temperature"] == 0.5
    assert completion.treestar["seed"] == 5
    assert completion.treestar["stats"]["rollouts"] == 3


def test_stop_strings_cut_the_text(client: OpenAI) -> None:
    whole = ask(client).choices[0].message.content
    assert ask(client, stop=["The answer"]).choices[0].message.content == whole.split("The answer")[0]


def test_the_conversation_before_the_question(client: OpenAI) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    completion = client.chat.completions.create(model="treestar", messages=conversation)
    assert completion.choices[0].message.content == ask(client).choices[0].message.content
    assert completion.treestar["not_used"] == ["1 instruction", "2 earlier messages"]


def test_requests_beside_each_other(client: OpenAI) -> None:
    questions = [f"What is {number} + {number}?" for number in (3, 14, 25, 36)]
    with ThreadPoolExecutor(4) as threads:
        completions = list(threads.map(lambda question: ask(client, question), questions))
    assert len({completion.id for completion in completions}) == 4
    for number, completion in zip((3, 14, 25, 36), completions, strict=True):
        assert str(number) in completion.treestar["trajectory"][0]["code"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"no_such_field": 1}}, "no_such_field"),
        ({"extra_body": {"treestar": {"strategy": "beam"}}}, "treestar.strategy"),
        ({"extra_body": {"treestar": {"max_rollouts": "many"}}}, "treestar.max_rollouts"),
    ],
)
def test_what_a_search_cannot_do_is_refused(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **fields)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "content",
    ["", " \n", "1 + " * 30_000, [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]],
    ids=["empty", "blank", "too long", "image"],
)
def test_what_is_no_question_is_refused(client: OpenAI, content: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, content)
    assert refused.value.param == "messages[0].content"


def test_another_model_and_another_key(client: OpenAI, address: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": QUESTION}])
    assert unknown.value.code == "model_not_found"
    for call in (ask, lambda client: client.models.list()):
        with pytest.raises(openai.AuthenticationError) as stranger:
            call(client_of(address, "wrong"))
        assert KEY not in str(stranger.value)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"\xff\xfe", 400),
        ("POST", "/v1/chat/completions", b" " * 9_000_000, 413),
        ("GET", "/v1/chat/completions", None, 405),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_broken_requests(address: str, method: str, path: str, body: bytes | None, status: int) -> None:
    answered, said = get(address, path, method, body)
    assert answered == status
    assert said["error"]["message"]
    assert said["error"]["type"] in ("invalid_request_error", "not_found_error")


def test_requests_beyond_the_queue_are_turned_away_and_clients_that_leave_free_their_place(
    client: OpenAI, address: str
) -> None:
    streams = [ask(client, stream=True, extra_body=ENDLESS) for _ in range(4)]
    wait_until(address, lambda health: (health["running"], health["waiting"]) == (2, 2))
    with pytest.raises(openai.RateLimitError) as refused:
        ask(client)
    assert int(refused.value.response.headers["Retry-After"]) >= 1
    assert refused.value.code == "queue_full"
    for stream in streams:
        stream.close()
    wait_until(address, lambda health: (health["running"], health["waiting"]) == (0, 0))
    assert ask(client).choices[0].finish_reason == "stop"


def test_a_client_that_leaves_without_streaming_ends_its_search(address: str) -> None:
    body = json.dumps({"model": "treestar", "messages": [{"role": "user", "content": QUESTION}], **ENDLESS})
    with closing(http.client.HTTPConnection(host_of(address))) as connection:
        connection.request("POST", "/v1/chat/completions", body, HEADERS)
        wait_until(address, lambda health: health["running"] == 1)
    wait_until(address, lambda health: health["running"] == 0)


def test_comments_keep_a_stream_open(address: str) -> None:
    body = json.dumps(
        {"model": "treestar", "stream": True, "messages": [{"role": "user", "content": QUESTION}], **ENDLESS}
    )
    with closing(http.client.HTTPConnection(host_of(address))) as connection:
        connection.request("POST", "/v1/chat/completions", body, HEADERS)
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        while not re.fullmatch(rb": [1-9]\d* rollouts, \d+ nodes, \d+ tokens\n", line := response.readline()):
            assert line == b"\n" or line.startswith((b"data: ", b": 0 rollouts"))
    wait_until(address, lambda health: health["running"] == 0)


@pytest.mark.slow
def test_shutdown_lets_searches_answer() -> None:
    """One search runs, one waits: after the grace period the first answers with what it has, the second is refused."""
    with treestar_serve("--concurrency", "1", "--grace-seconds", "1") as (process, address):
        client = client_of(address)
        running = ask(client, stream=True, extra_body=ENDLESS)
        with ThreadPoolExecutor(1) as threads:
            wait_until(address, lambda health: health["running"] == 1)
            waiting = threads.submit(ask, client)
            wait_until(address, lambda health: health["waiting"] == 1)
            process.send_signal(signal.SIGTERM)
            wait_until(address, lambda health: health["status"] == "closing")
            with pytest.raises(openai.InternalServerError) as refused:
                ask(client)
            assert refused.value.status_code == 503
            assert "Retry-After" in refused.value.response.headers
            *_, last = running
            assert last.treestar["stopped"] == "interrupted"
            assert last.choices[0].finish_reason in ("stop", "length")
            with pytest.raises(openai.InternalServerError) as cancelled:
                waiting.result()
            assert cancelled.value.status_code == 503
        client.close()
        assert process.wait(60) == 0


def test_a_second_signal_interrupts_at_once() -> None:
    with server_over(SlowPolicy(random_script())) as (server, address), client_of(address) as client:
        running = ask(client, stream=True, extra_body=ENDLESS)
        wait_until(address, lambda health: health["running"] == 1)
        server.stop()
        wait_until(address, lambda health: health["status"] == "closing")
        server.stop()
        *_, last = running
        assert last.treestar["stopped"] == "interrupted"


class BrokenPolicy(ScriptedPolicy):
    async def propose(self, *_: object) -> Any:
        raise RuntimeError("a secret of the server's")


def test_failures_of_the_server_stand_in_its_log_and_not_in_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    with server_over(BrokenPolicy(random_script())) as (_, address), client_of(address) as client:
        with pytest.raises(openai.InternalServerError) as failed:
            ask(client)
        with pytest.raises(openai.APIError) as failed_later:
            list(ask(client, stream=True))
    for error in (failed.value, failed_later.value):
        assert "see the server's log" in error.message
        assert "secret" not in json.dumps(error.body)
    assert caplog.text.count("RuntimeError: a secret of the server's") == 2


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["treestar", "serve", "--port", port])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("--port", "70000"), ("--concurrency", "0"), ("--strategy", "beam"), ("--samples", "3"), ("--gold",)]
)
def test_options_that_make_no_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["treestar", "serve", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


class ThinkingPolicy(ScriptedPolicy):
    """Says that it thinks, and remembers the thinking budgets of its steps."""

    step_format = "thinking"

    async def propose(self, state: State, n: int, sampling: Sampling, seed: int) -> Proposal:
        self.budgets = [*getattr(self, "budgets", []), sampling.thinking]
        return await super().propose(state, n, sampling, seed)


def test_a_request_says_how_long_the_model_may_think() -> None:
    policy = ThinkingPolicy(random_script(1.0, 0.0))
    with server_over(policy) as (_, address):
        client = client_of(address)
        ask(client, reasoning_effort="low", extra_body={"treestar": {"max_rollouts": 1, "children": 1, "waits": 2}})
        ask(client, extra_body={"thinking_token_budget": 9, "treestar": {"max_rollouts": 1, "children": 1}})
    assert policy.budgets == [ThinkingBudget(max_tokens=1024, waits=2), ThinkingBudget(max_tokens=9)]


def test_a_server_whose_model_does_not_think_says_so() -> None:
    with server_over(ScriptedPolicy(random_script())) as (_, address), pytest.raises(openai.BadRequestError) as refused:
        ask(client_of(address), reasoning_effort="low")
    assert "the model of this server does not think" in refused.value.message
