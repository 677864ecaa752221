"""How long a server is given: for an answer, and while it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest

from treestar.policy.backends import remote_server
from treestar.policy.backends.remote_server import Failure, RemoteServer, RemoteServerConfig
from treestar.types import TreestarError


@pytest.mark.parametrize(
    ("body", "seconds"),
    [({}, 300), ({"max_tokens": 512}, 300), ({"max_tokens": 32768}, 3276.8), ({"max_completion_tokens": 5000}, 500)],
)
def test_a_request_for_a_long_answer_is_given_more_time(
    body: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = RemoteServer("http://127.0.0.1:1", RemoteServerConfig())
    given: list[float] = []

    async def answer(*_: Any, **__: Any) -> str:
        return "answer"

    async def wait_for(request: Awaitable[str], timeout: float) -> str:
        given.append(timeout)
        return await request

    monkeypatch.setattr(server.client, "post", answer)
    monkeypatch.setattr(remote_server.asyncio, "wait_for", wait_for)
    assert asyncio.run(server.post_once("/completions", body, str)) == "answer"
    assert given == [seconds]


@pytest.mark.parametrize("others", [True, False], ids=["others are answered", "nothing is answered"])
def test_the_run_goes_on_while_the_server_answers_others(others: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RemoteServer("http://127.0.0.1:1", RemoteServerConfig(patience_seconds=600))
    clock, tries = 1000.0, 0

    async def post_once(path: str, body: dict[str, Any], read: Any) -> str:
        nonlocal clock, tries
        if path == "/other":
            return "other"
        clock, tries = clock + 400, tries + 1
        if tries == 5:
            return "late"
        if others:
            await server.post("/other", {}, str)
        raise Failure("timeout", "scripted")

    monkeypatch.setattr(server, "post_once", post_once)
    monkeypatch.setattr(remote_server, "time", SimpleNamespace(monotonic=lambda: clock))
    monkeypatch.setattr(remote_server, "backoff", lambda tries: 0.0)
    if others:
        assert asyncio.run(server.post("/slow", {}, str)) == "late"
    else:
        with pytest.raises(TreestarError, match="failed 3 times in 800 s"):
            asyncio.run(server.post("/slow", {}, str))


def test_a_server_that_has_never_answered_is_waited_for_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    server = RemoteServer("http://127.0.0.1:9", RemoteServerConfig(patience_seconds=0.2))  # the discard port
    monkeypatch.setattr(remote_server, "backoff", lambda tries: 0.05)
    said = "127.0.0.1:9/v1 does not answer .connection failed"
    with pytest.warns(UserWarning, match=said) as warned, pytest.raises(TreestarError, match="no usable answer"):
        asyncio.run(server.post("/completions", {}, str))
    assert len(warned) == 1
