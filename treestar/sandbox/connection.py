"""The engine's end of the sandbox: one zygote process, and a thread that receives from it which workers have ended.

The thread also starts the process, because Linux ends a process that asked to die with its parent when the *thread*
that started it ends. Steps and their results do not pass through here: each worker has its own socket.
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
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO

from treestar.sandbox.config import SandboxConfig
from treestar.sandbox.frames import Frame, FrameBuffer, FrameError, encode
from treestar.types import TreestarError

__all__ = ["Connection", "unsupported"]

READ_SIZE = 1 << 16
KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
)
STDERR_SHOWN = 2000
END_SECONDS = 2.0
PAUSE_SECONDS = 0.5
ZYGOTE = "treestar.sandbox.jail.zygote"
ZYGOTE_SETTINGS = ("isolation", "restricted", "memory_mb", "output_limit")


class Connection:
    """One zygote process. It starts immediately, in the background; `wait_ready` waits until it can fork workers.

    All methods may be called from any thread.
    """

    def __init__(self, config: SandboxConfig, now_and_then: Callable[[], None]) -> None:
        """`now_and_then` is called about every half second, from this object's thread."""
        self.config = config
        self.now_and_then = now_and_then
        self.owner = os.getpid()
        self.ids = itertools.count(1)
        self.lock = threading.Lock()  # for the three fields below
        self.ends: dict[int, Future[int | None]] = {}
        """Workers that may still run. Each future gets the signal that ended the worker."""
        self.processes: dict[int, int] = {}
        """Process id of each worker, by worker id."""
        self.alive = True
        self.send_lock = threading.Lock()  # for writes to the socket
        self.closing = False
        self.ready: Future[dict[str, str]] = Future()
        self.engine_end, self.zygote_end = socket.socketpair()
        self.pid: int | None = None
        self.thread = threading.Thread(target=self.run, name="treestar-sandbox", daemon=True)
        self.thread.start()

    def usable(self) -> bool:
        """Whether the zygote still runs and was started by this process."""
        return self.alive and self.owner == os.getpid()

    async def wait_ready(self) -> dict[str, str]:
        """Wait until the process has imported everything and jailed itself. Returns the status of each jail layer.

        Raises:
            TreestarError: the process cannot be started, lacks a jail layer, or took longer than `start_seconds`.
        """
        if self.ready.done():
            return self.ready.result()
        waiter = asyncio.wrap_future(self.ready)
        try:
            return await asyncio.wait_for(asyncio.shield(waiter), self.config.start_seconds)
        except TimeoutError:
            raise TreestarError(
                f"The sandbox did not start within {self.config.start_seconds:g} seconds. "
                "Set SandboxConfig.start_seconds higher if this machine is slow or busy."
            ) from None

    def fork(self, worker_end: socket.socket) -> tuple[int, Future[int | None]]:
        """Make the zygote fork a worker that communicates over `worker_end`, which is closed here.

        Returns:
            The worker's id, and a future that is set when the worker ends: the signal that ended it, or None if it
            ended otherwise or the zygote is gone. A worker never outlives its zygote.
        """
        worker = next(self.ids)
        ended: Future[int | None] = Future()
        with self.lock:
            if self.alive:
                self.ends[worker] = ended
            else:
                ended.set_result(None)
        with worker_end, self.send_lock, suppress(OSError):
            socket.send_fds(self.engine_end, [encode({"fork": worker})], [worker_end.fileno()])
        return worker, ended

    def kill(self, worker: int) -> None:
        """Kill a worker, idle or busy. Does nothing if it has ended."""
        if worker in self.ends:
            with self.send_lock, suppress(OSError):
                self.engine_end.sendall(encode({"kill": worker}))

    def processor_seconds(self, worker: int) -> float | None:
        """Processor time that a worker has used, in seconds, or None if unknown."""
        try:
            with open(f"/proc/{self.processes[worker]}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, LookupError):
            return None

    def close(self) -> None:
        """Stop the process and its workers. Returns when they are gone; may be called more than once."""
        if self.owner != os.getpid():
            self.engine_end.close()  # a fork of the engine: the zygote belongs to the parent
            return
        self.closing = True
        with suppress(OSError):
            self.engine_end.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self.thread:
            self.thread.join()

    # --- the thread --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                process = self.start_process(errors)
            except OSError as error:
                self.end(TreestarError(f"The sandbox process could not be started: {error}"))
                return
            self.pid = process.pid
            try:
                self.listen()
            finally:
                self.wait_or_kill(process)
                self.end(TreestarError(start_failure(process.returncode, errors)))

    def start_process(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = {name: getattr(self.config, name) for name in ZYGOTE_SETTINGS}
        descriptor = self.zygote_end.fileno()
        with self.zygote_end, tempfile.TemporaryDirectory(prefix="treestar-") as empty:
            return subprocess.Popen(
                [sys.executable, "-m", ZYGOTE, str(descriptor), json.dumps({**settings, "engine": os.getpid()})],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=empty,  # deleted immediately: a working directory in which nothing can be created
                env=environment(),
                start_new_session=True,  # only the engine handles Ctrl-C, and then closes the sandbox
            )

    def listen(self) -> None:
        frames = FrameBuffer()
        with suppress(OSError, FrameError), selectors.DefaultSelector() as selector:
            selector.register(self.engine_end, selectors.EVENT_READ)
            last = time.monotonic()
            while True:
                readable = selector.select(PAUSE_SECONDS)
                if time.monotonic() - last >= PAUSE_SECONDS:  # even if workers start and end all the time
                    self.now_and_then()
                    last = time.monotonic()
                if not readable:
                    continue
                received = self.engine_end.recv(READ_SIZE)
                if not received:
                    return
                for frame in frames.feed(received):
                    self.hear(frame)

    def hear(self, frame: Frame) -> None:
        if "ready" in frame:
            self.ready.set_result(frame["ready"])
        elif "unsupported" in frame:
            self.ready.set_exception(unsupported(frame["unsupported"]))
        elif "forked" in frame:
            self.processes[frame["forked"]] = frame["process"]
        else:
            with self.lock:
                ended = self.ends.pop(frame["ended"])
                self.processes.pop(frame["ended"], None)
            ended.set_result(frame["signal"])

    def wait_or_kill(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the zygote ends, and kill it if it does not end after its socket closed."""
        with suppress(OSError):
            self.engine_end.shutdown(socket.SHUT_RDWR)
        try:
            process.wait(0 if self.closing and not self.ready.done() else END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end(self, failure: TreestarError) -> None:
        with self.lock:
            self.alive = False
            ends, self.ends = self.ends, {}
        with self.send_lock:
            self.engine_end.close()
        if not self.ready.done():
            self.ready.set_exception(failure)
        for ended in ends.values():
            ended.set_result(None)


def unsupported(reason: str) -> TreestarError:
    """The error for a system on which the jail cannot be built."""
    return TreestarError(
        f"Steps cannot be jailed on this system: {reason}. "
        "Run treestar on a system that supports it, for example in a Linux container, or choose "
        "SandboxConfig(isolation='process') (on the command line: --isolation process), which leaves RestrictedPython "
        "as the only protection of your files, network and processes."
    )


def environment() -> dict[str, str]:
    """The zygote's environment: only what is needed to find Python and its libraries, so that no secrets leak."""
    package_root = str(Path(__file__).resolve().parents[2])
    search_path = [entry for entry in sys.path if entry and os.path.isabs(entry)]
    return {
        **{name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*search_path, package_root])),
        "PYTHONSAFEPATH": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def start_failure(status: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read().decode("utf-8", "replace").strip()[-STDERR_SHOWN:]
    return (
        f"The sandbox process ended with status {status} while it started. Check that sympy, numpy and "
        f"RestrictedPython can be imported by {sys.executable}. Its error output: {said or 'none'}"
    )
