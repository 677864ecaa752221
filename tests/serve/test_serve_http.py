"""What `treestar serve` makes of requests before it reads them: their type, their key, and clients that leave."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import closing

import pytest
from support.scripted import ScriptedPolicy, random_script
from support.serving import QUESTION, ask, client_of, host_of, server_over


def status_of(address: str, headers: dict[str, str]) -> int:
    body = json.dumps({"model": "treestar", "messages": [{"role": "user", "content": QUESTION}]})
    with closing(http.client.HTTPConnection(host_of(address), timeout=60)) as connection:
        connection.request("POST", "/v1/chat/completions", body, headers)
        return connection.getresponse().status


def test_only_bodies_that_say_they_are_json_are_read() -> None:
    """Others can come from any web page that the server's user visits."""
    with server_over(ScriptedPolicy(random_script())) as (_, address):
        assert status_of(address, {"Content-Type": "Application/JSON; charset=utf-8"}) == 200
        for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            assert status_of(address, headers) == 415


def test_a_key_is_any_text_and_its_scheme_in_any_case() -> None:
    json_type = {"Content-Type": "application/json"}
    with server_over(ScriptedPolicy(random_script()), "schlüssel") as (_, address):
        for given, status in (("bearer schlüssel", 200), ("Bearer schlussel", 401), ("schlüssel", 401)):
            # As clients send it: in UTF-8.
            assert status_of(address, {**json_type, "Authorization": given.encode().decode("latin-1")}) == status


def test_a_client_that_leaves_while_it_sends_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    with server_over(ScriptedPolicy(random_script())) as (_, address):
        host, port = host_of(address).split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode())
            time.sleep(0.2)
        time.sleep(0.2)
        assert ask(client_of(address)).choices
    assert "Exception" not in caplog.text
