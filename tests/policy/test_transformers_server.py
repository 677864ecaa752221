"""A policy behind `transformers serve`, which knows fewer fields than others and reports that with FastAPI's errors."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
pytest.importorskip("openai", reason="transformers serve needs openai")

from treestar import MCTSConfig, Solver
from treestar.policy.models import shipped_path

pytestmark = pytest.mark.slow  # a server of this kind is imitated in tests/policy/test_openai_policy.py
MODEL_PATH = shipped_path("policy", "toy")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(MODEL_PATH)]
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def test_a_search_goes_on_without_the_fields_that_the_server_does_not_take(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none is asked for")
    with Solver(f"openai:{MODEL_PATH}@{url}", MCTSConfig(max_rollouts=3, children=2)) as solver:
        result = solver.solve("How many legs are there in total if you have 4 dogs, 3 crabs?")
    assert result.answer == "46"
    assert result.stats.generated_tokens > 20
