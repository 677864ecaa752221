"""What `treestar serve` makes of requests before it reads them: their type, their key, and clients that leave."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import closing
from http.client import HTTPMessage

import pytest
from support.scripted import ScriptedPolicy, random_script
from support.serving import QUESTION, ask, client_of, host_of, server_over
from typer import BadParameter
from typer.testing import CliRunner

from treestar.cli.commands import app
from treestar.cli.serve import origins_of
from treestar.serve import ServerConfig
from treestar.types import State, Step


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


PAGE = "https://app.example"


def answered(address: str, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, HTTPMessage]:
    with closing(http.client.HTTPConnection(host_of(address), timeout=60)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers


def test_pages_of_allowed_origins_can_call_the_server_and_others_cannot() -> None:
    body = json.dumps({"model": "treestar", "messages": [{"role": "user", "content": QUESTION}]})
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    sends = {"Content-Type": "application/json", "Authorization": "Bearer k"}
    with server_over(ScriptedPolicy(random_script()), "k", allowed_origins=(PAGE, "null")) as (_, address):
        for origin in (PAGE, "null"):
            # A browser first asks without the key whether the page may send it.
            status, headers = answered(address, "OPTIONS", "/v1/chat/completions", {"Origin": origin, **asks})
            assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)
            assert "x-stainless-os" in headers["Access-Control-Allow-Headers"]
            status, headers = answered(address, "POST", "/v1/chat/completions", {"Origin": origin, **sends}, body)
            assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)
            # The page can also read why it was refused.
            status, headers = answered(address, "GET", "/v1/models", {"Origin": origin})
            assert (status, headers["Access-Control-Allow-Origin"]) == (401, origin)
        for method, extra in (("OPTIONS", asks), ("POST", sends)):
            other = {"Origin": "https://other.example", **extra}
            assert "Access-Control-Allow-Origin" not in answered(address, method, "/v1/models", other)[1]


def test_a_failure_can_be_read_by_a_page() -> None:
    def fails(state: State, n: int, seed: int) -> list[Step]:
        raise RuntimeError("scripted")

    body = json.dumps({"model": "treestar", "messages": [{"role": "user", "content": QUESTION}]})
    sends = {"Content-Type": "application/json", "Origin": PAGE}
    with server_over(ScriptedPolicy(fails), allowed_origins=("*",)) as (_, address):
        status, headers = answered(address, "POST", "/v1/chat/completions", sends, body)
    assert (status, headers["Access-Control-Allow-Origin"]) == (500, "*")


def test_without_allowed_origins_no_page_can() -> None:
    with server_over(ScriptedPolicy(random_script())) as (_, address):
        asks = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        status, headers = answered(address, "OPTIONS", "/v1/chat/completions", asks)
        assert (status, "Access-Control-Allow-Origin" in headers) == (405, False)
        status, headers = answered(address, "GET", "/v1/models", {"Origin": PAGE})
        assert (status, "Access-Control-Allow-Origin" in headers) == (200, False)


def test_origins_are_given_one_by_one_or_as_a_list() -> None:
    assert origins_of([PAGE, '["http://localhost:3000", "*"]']) == (PAGE, "http://localhost:3000", "*")
    for wrong in ("[1]", "[https://app.example]"):
        with pytest.raises(BadParameter, match="takes an origin or a JSON list of them"):
            origins_of([wrong])
    patterns = ("https://*.example", f"{PAGE},http://localhost:3000")
    for wrong in ("https://app.example/", "app.example", "https://App.example", "", *patterns):
        with pytest.raises(ValueError, match=r"ServerConfig\.allowed_origins must be origins such as"):
            ServerConfig(allowed_origins=(wrong,))


def test_an_origin_that_no_browser_sends_is_refused_by_the_command() -> None:
    ran = CliRunner().invoke(app, ["serve", "--allowed-origins", PAGE, "--allowed-origins", f"{PAGE}/chat"])
    assert ran.exit_code == 2
    assert "--allowed-origins must be origins such as https://app.example" in " ".join(ran.output.split())
