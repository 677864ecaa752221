"""The engine's end of the sandbox: one zygote process, and a thread that reads its answers.

The thread also starts the process, because Linux ends a process that asked to die with its parent when the *thread*
that started it ends. Requests may come from any thread and any event loop; each gets its answer in its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from treestar.types import TreestarError
from treestar.verifier.sandbox.config import SandboxConfig
from treestar.verifier.sandbox.frames import Frame, FrameBuffer, FrameError, encode

__all__ = ["Connection", "ConnectionLost"]

_READ_SIZE = 1 << 16
_KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
)
_STDERR_SHOWN = 2000
_END_SECONDS = 2.0
_LOOK_SECONDS = 5.0
_GRACE_SECONDS = 30.0


class ConnectionLost(Exception):
    """The zygote ended before it answered."""


class Connection:
    """One zygote process. It starts at once, in the background; `request` waits until it is ready."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._owner = os.getpid()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()  # of the fields below
        self._send_lock = threading.Lock()  # of writing to the socket, which may wait; never taken inside the other
        self._pending: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[Frame]]] = {}
        self._alive = True
        self._closing = False
        self._longest_path = 0
        self._last_heard = 0.0
        self._ready: Future[None] = Future()
        self._engine_end, self._zygote_end = socket.socketpair()
        self.pid: int | None = None
        self._thread = threading.Thread(target=self._run, name="treestar-sandbox", daemon=True)
        self._thread.start()

    def usable(self) -> bool:
        """Whether it is worth sending a request: the process has not ended, and this process started it."""
        return self._alive and self._owner == os.getpid()

    async def wait_ready(self) -> None:
        """Wait until the process has imported everything.

        Raises:
            TreestarError: it could not be started, or took longer than `start_seconds`.
        """
        if self._ready.done() and self._ready.exception() is None:
            return
        waiter = asyncio.wrap_future(self._ready)
        try:
            await asyncio.wait_for(asyncio.shield(waiter), self._config.start_seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise TreestarError(
                f"The sandbox did not start within {self._config.start_seconds:g} seconds. "
                "Set SandboxConfig.start_seconds higher if this machine is slow or busy."
            ) from None

    async def request(self, path: tuple[str, ...], code: str) -> Frame:
        """Have `code` run after `path`, and give the zygote's answer. If this is cancelled, so is the run.

        Raises:
            ConnectionLost: the zygote ended first.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Frame] = loop.create_future()
        request_id = next(self._ids)
        data = encode({"id": request_id, "path": list(path), "code": code})
        with self._lock:
            if not self.usable():
                raise ConnectionLost
            self._pending[request_id] = (loop, answer)
            self._longest_path = max(self._longest_path, len(path))
        self._send(data)
        try:
            return await answer
        except asyncio.CancelledError:
            with self._lock:
                unanswered = self._pending.pop(request_id, None) is not None
            if unanswered:
                self._send(encode({"cancel": request_id}))
            raise

    def close(self) -> None:
        """End the process and its children. Returns when they are gone; may be called again."""
        if self._owner != os.getpid():
            self._engine_end.close()  # a fork of the engine: the zygote belongs to the parent
            return
        self._closing = True
        with suppress(OSError):
            self._engine_end.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _send(self, data: bytes) -> None:
        # The zygote reads at any time and this object's thread empties the other direction, so this does not block
        # for longer than a fork takes. If it fails, the thread sees the same end and fails the pending requests.
        with self._send_lock, suppress(OSError):
            self._engine_end.sendall(data)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                process = self._start_process(errors)
            except OSError as error:
                self._end(TreestarError(f"The sandbox process could not be started: {error}"))
                return
            self.pid = process.pid
            try:
                self._read_answers()
            finally:
                self._wait_or_kill(process)
                self._end(TreestarError(_start_failure(process.returncode, errors)))

    def _start_process(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        config = json.dumps({**asdict(self._config), "engine": os.getpid()})
        descriptor = self._zygote_end.fileno()
        with self._zygote_end, tempfile.TemporaryDirectory(prefix="treestar-") as empty:
            return subprocess.Popen(
                [sys.executable, "-m", "treestar.verifier.sandbox.zygote", str(descriptor), config],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=empty,  # deleted right away: a working directory in which nothing can be created
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the engine, which then closes the sandbox
            )

    def _read_answers(self) -> None:
        frames = FrameBuffer()
        self._last_heard = time.monotonic()
        with suppress(OSError, FrameError), selectors.DefaultSelector() as selector:
            selector.register(self._engine_end, selectors.EVENT_READ)
            while not self._silent_too_long():
                if not selector.select(_LOOK_SECONDS):
                    continue
                received = self._engine_end.recv(_READ_SIZE)
                if not received:
                    return
                self._last_heard = time.monotonic()
                for frame in frames.feed(received):
                    self._dispatch(frame)

    def _silent_too_long(self) -> bool:
        """Whether requests wait and the zygote, which answers each within its deadline, has stopped answering."""
        with self._lock:
            if not self._pending:
                self._last_heard = time.monotonic()
            allowed = self._config.seconds * (self._longest_path + 2) + _GRACE_SECONDS
        return time.monotonic() - self._last_heard > allowed

    def _wait_or_kill(self, process: subprocess.Popen[bytes]) -> None:
        """A zygote ends by itself when its socket closes, its children before it. This is for one that does not."""
        with suppress(OSError):
            self._engine_end.shutdown(socket.SHUT_RDWR)
        try:
            process.wait(0 if self._closing and not self._ready.done() else _END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _dispatch(self, frame: Frame) -> None:
        if frame.get("ready") is True:
            self._ready.set_result(None)
            return
        with self._lock:
            waiting = self._pending.pop(frame["id"], None) if isinstance(frame.get("id"), int) else None
        if waiting is not None:
            _deliver(*waiting, frame)

    def _end(self, failure: TreestarError) -> None:
        with self._lock:
            self._alive = False
            pending, self._pending = self._pending, {}
        with self._send_lock:
            self._engine_end.close()
        if not self._ready.done():
            self._ready.set_exception(failure)
        for loop, answer in pending.values():
            _deliver(loop, answer, None)


def _deliver(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Frame], frame: Frame | None) -> None:
    def deliver() -> None:
        if answer.done():
            return
        if frame is None:
            answer.set_exception(ConnectionLost())
        else:
            answer.set_result(frame)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(deliver)


def _environment() -> dict[str, str]:
    """The zygote's environment: what finding Python and its libraries takes, and nothing that may be a secret."""
    package_root = str(Path(__file__).resolve().parents[3])
    search_path = [entry for entry in sys.path if entry and os.path.isabs(entry)]
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*search_path, package_root])),
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _start_failure(status: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read().decode("utf-8", "replace").strip()[-_STDERR_SHOWN:]
    return (
        f"The sandbox process ended with status {status} while it started. Check that sympy, numpy and "
        f"RestrictedPython can be imported by {sys.executable}. It said: {said or 'nothing'}"
    )
