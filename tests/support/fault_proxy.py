"""A proxy in front of a real HTTP server that simulates server and network failures."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["drop", "half", "401", "500", "502", "429", "later", "stall", "garbage", "empty", "aborted"]

ABORTED = (
    b'{"choices": [{"text": "x", "finish_reason": "abort"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
)


class FaultProxy:
    """Forwards POST requests to a port of this machine, with the fault that `fault` returns for a request's number,
    from 0.

    Its methods and attributes are safe to use from any thread.
    """

    def __init__(self, target: int, fault: Callable[[int], Fault | None] = lambda _: None) -> None:
        self.target = target
        self.fault = fault
        self.injected: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()
        proxy = self

        class Handler(FaultHandler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def next_fault(self, body: bytes) -> Fault | None:
        with self.lock:
            fault = self.fault(len(self.bodies))
            self.bodies.append(body)
            if fault is not None:
                self.injected[fault] += 1
            return fault

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class FaultHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.owner.next_fault(body)
        if fault is None:
            self.forward(body)
        elif fault == "drop":
            self.close_connection = True
        elif fault == "half":
            self.respond(200, b'{"choices": [', length=1000)
            self.close_connection = True
        elif fault == "stall":
            self.stall()
        elif fault == "401":
            key = self.headers["Authorization"].removeprefix("Bearer ")
            self.respond(401, f'{{"error": {{"message": "wrong key: {key[:8]}****{key[-4:]}"}}}}'.encode())
        elif fault == "500":
            self.respond(500, b'{"error": {"message": "scripted"}}')
        elif fault == "502":
            self.respond(502, b"<html>Bad gateway</html>", type_="text/html")
        elif fault == "429":
            self.respond(429, b'{"error": {"message": "slow down"}}', retry_after="0.05")
        elif fault == "later":
            self.respond(429, b'{"error": {"message": "slow down"}}', retry_after="3600")
        else:
            self.respond(200, {"garbage": b"<html>", "empty": b'{"choices": []}', "aborted": ABORTED}[fault])

    def forward(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        try:
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            self.respond(answer.status, answer.read())
        finally:
            connection.close()

    def respond(
        self,
        status: int,
        data: bytes,
        length: int | None = None,
        type_: str = "application/json",
        retry_after: str | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def stall(self) -> None:
        """Send a byte now and then until the client disconnects."""
        self.respond(200, b"{", length=100_000)
        try:
            while True:
                time.sleep(0.05)
                self.wfile.write(b" ")
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass
