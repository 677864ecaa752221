"""The engine's side of the worker processes that compare answers symbolically.

A worker is started as a fresh interpreter (never by forking this process, which may hold threads and a GPU), loads its
libraries once, and answers each JSON line with one JSON line. Any thread may send requests. Nothing is unpickled on
either side. A comparison that runs out of time is stopped inside the worker's process tree; a worker that does not
report this is killed and replaced.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import Literal

__all__ = ["GradingPool", "Verdict"]

START_SECONDS = 120.0
"""Seconds a worker may take to load its libraries on a busy machine before it counts as failed."""
GRACE_SECONDS = 0.75
"""Seconds after its deadline within which a worker must report that it stopped a comparison."""
LONGEST_SECONDS = 86_400.0
"""Any longer time limit, also infinity, means this one: the system's calls cannot wait forever and end on time."""
LONGEST_REPLY = 4096
"""In bytes; a normal reply has about a dozen."""

BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from treestar.verifier.grading.grading_worker import main; main(symbolic=json.loads(sys.argv[2]))"
)

Verdict = bool | Literal["symbolic"] | None
"""Whether two answers are equal; "symbolic" if only a worker with sympy can tell; None if the time ran out or the
worker failed."""


class GradingProcess:
    """One worker. The pool ensures that only one thread uses it at a time."""

    def __init__(self, symbolic: bool) -> None:
        self.buffer = b""
        self.ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path), json.dumps(symbolic)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def wait_until_ready(self) -> bool:
        """Wait for the worker's imports, the first time. Returns False if it died or took too long."""
        self.ready = self.ready or self.read_line(time.monotonic() + START_SECONDS) is not None
        return self.ready

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Compare two answers in at most `seconds` plus a grace period. None: no verdict; the worker may be dead."""
        request = json.dumps([first, second, seconds]).encode("ascii") + b"\n"
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        if not self.send(request, deadline):
            self.kill()
            return None
        line = self.read_line(deadline)
        try:
            reply = json.loads(line) if line is not None else None
        except ValueError:
            line = None
        if line is None:
            self.kill()
            return None
        return reply if isinstance(reply, bool) or reply == "symbolic" else None

    @property
    def alive(self) -> bool:
        """Whether the process is still running."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill and reap the process. Does nothing if it has already ended."""
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def send(self, data: bytes, deadline: float) -> bool:
        assert self.process.stdin is not None
        descriptor = self.process.stdin.fileno()
        view = memoryview(data)
        while view:
            if not select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))[1]:
                return False
            try:
                # A pipe that select reports as writable accepts at least PIPE_BUF bytes without blocking.
                written = os.write(descriptor, view[: select.PIPE_BUF])
            except OSError:
                return False
            view = view[written:]
        return True

    def read_line(self, deadline: float) -> bytes | None:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or len(self.buffer) > LONGEST_REPLY:
                return None
            if not select.select([descriptor], [], [], left)[0]:
                return None
            try:
                chunk = os.read(descriptor, LONGEST_REPLY)
            except OSError:
                return None
            if not chunk:
                return None
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line


class GradingPool:
    """A few workers, started when first needed, shared by all threads, and stopped when the interpreter exits."""

    def __init__(self, size: int, symbolic: bool = False) -> None:
        """An empty pool.

        Args:
            size: maximum number of concurrent comparisons; other callers wait.
            symbolic: whether the workers load sympy, which takes about two seconds.
        """
        self.symbolic = symbolic
        self.turns = threading.BoundedSemaphore(size)
        self.lock = threading.Lock()
        self.idle: list[GradingProcess] = []
        self.all: set[GradingProcess] = set()
        self.owner = os.getpid()
        atexit.register(self.close)

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Whether two answers are equal, computed in at most `seconds`, not counting the wait for a worker.

        None if the time ran out or no worker could be started.
        """
        with self.turns:
            worker = self.take()
            if worker is None:
                return None
            verdict = worker.ask(first, second, min(seconds, LONGEST_SECONDS))
            self.put_back(worker)
            return verdict

    def prepare(self) -> None:
        """Wait until a worker is ready, so that the next `ask` takes only the time of its comparison."""
        with self.turns:
            worker = self.take()
            if worker is not None:
                self.put_back(worker)

    def close(self) -> None:
        """Stop all workers. A later `ask` starts new ones."""
        with self.lock:
            workers, self.all, self.idle = self.all, set(), []
            if self.owner != os.getpid():
                return  # A forked copy of this pool must not stop its parent's workers.
        for worker in workers:
            worker.kill()

    def take(self) -> GradingProcess | None:
        with self.lock:
            if self.owner != os.getpid():
                # After a fork the pipes are shared with the parent: leave them to it.
                self.idle, self.all, self.owner = [], set(), os.getpid()
            worker = self.idle.pop() if self.idle else self.start()
        if worker is None or worker.wait_until_ready():
            return worker
        self.drop(worker)
        return None

    def start(self) -> GradingProcess | None:
        try:
            worker = GradingProcess(self.symbolic)
        except OSError:
            return None
        self.all.add(worker)
        return worker

    def put_back(self, worker: GradingProcess) -> None:
        with self.lock:
            if worker in self.all and worker.alive:
                self.idle.append(worker)
                return
            closed = worker not in self.all
            # Its successor loads its imports while the caller continues.
            successor = None if closed else self.start()
            if successor is not None:
                self.idle.append(successor)
        self.drop(worker)

    def drop(self, worker: GradingProcess) -> None:
        with self.lock:
            self.all.discard(worker)
        worker.kill()
