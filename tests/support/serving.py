"""A server over a scripted policy, in a thread, and its clients."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI
from support.scripted import ExactVerifier, ScriptedExecutor, ScriptedPolicy

from treestar import Solver
from treestar.serve import ServerConfig
from treestar.serve.server import Server, bind

KEY = "a key of the tests"
QUESTION = "What is 12 + 7?"


def client_of(address: str, key: str = KEY) -> OpenAI:
    return OpenAI(base_url=address, api_key=key, max_retries=0, timeout=120)


def ask(client: OpenAI, question: str = QUESTION, **fields: Any) -> Any:
    return client.chat.completions.create(model="treestar", messages=[{"role": "user", "content": question}], **fields)


def host_of(address: str) -> str:
    return address.split("/")[2]


@contextmanager
def server_over(policy: ScriptedPolicy, key: str | None = None, **settings: Any) -> Iterator[tuple[Server, str]]:
    """A server over a scripted policy, in a thread, and its address."""
    config = ServerConfig(port=0, grace_seconds=3600, **settings)
    with bind(config) as listener, Solver(policy, executor=ScriptedExecutor(), verifier=ExactVerifier()) as solver:
        server = Server(solver, config, key)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            host, port = listener.getsockname()
            yield server, f"http://{host}:{port}/v1"
        finally:
            server.stop()
            thread.join()
