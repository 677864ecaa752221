"""Fixtures of the tests of policies."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest


@pytest.fixture(scope="session")
def completion_port() -> Iterator[int]:
    """The port of a server over the toy model, in a thread of this process."""
    from support.completion_server import completion_server  # which imports torch

    server = completion_server(0)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the servers of the tests directly, and without a key."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
