"""The engine's side of the worker processes that compare answers symbolically.

A worker is started as a fresh interpreter (never by forking this process, which may hold threads and a GPU), imports
sympy once, and answers one JSON line for each JSON line. It is asked from any thread; it never unpickles and nothing it
sends is unpickled. A comparison that overruns is ended inside the worker's process tree; a worker that does not even
say so is killed and replaced.
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

__all__ = ["GradingPool", "Verdict"]

START_SECONDS = 120.0
"""How long a worker may take to import sympy on a busy machine before it counts as broken."""
GRACE_SECONDS = 0.75
"""How long past its deadline a worker may take to report that it ended a comparison."""
LONGEST_REPLY = 4096
"""Bytes; a reply is a dozen."""

BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from treestar.verifier.grading.grading_worker import main; main()"
)

Verdict = bool | None
"""Whether two answers are equal; None where the time ran out or the worker failed."""


class GradingProcess:
    """One worker. Used by one thread at a time; the pool sees to that."""

    def __init__(self) -> None:
        self.buffer = b""
        self.ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def wait_until_ready(self) -> bool:
        """Wait for the worker's imports, the first time. False where it died or took too long."""
        self.ready = self.ready or self.read_line(time.monotonic() + START_SECONDS) is not None
        return self.ready

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Compare two answers in at most `seconds` and a short grace. None: no verdict, and the worker may be dead."""
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
        return reply if isinstance(reply, bool) else None

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and collect it. Harmless when it has already ended."""
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
                # A pipe that select calls writable takes at least PIPE_BUF bytes without blocking.
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
    """A few workers, started when first needed, shared by all threads, ended with the interpreter."""

    def __init__(self, size: int) -> None:
        """`size`: the most comparisons that run at once; further callers wait their turn."""
        self.turns = threading.BoundedSemaphore(size)
        self.lock = threading.Lock()
        self.idle: list[GradingProcess] = []
        self.all: set[GradingProcess] = set()
        self.owner = os.getpid()
        atexit.register(self.close)

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Whether two answers are equal, worked out in at most `seconds`; waiting for a worker is not counted.

        None where the time ran out or no worker could be started.
        """
        with self.turns:
            worker = self.take()
            if worker is None:
                return None
            verdict = worker.ask(first, second, seconds)
            self.put_back(worker)
            return verdict

    def prepare(self) -> None:
        """Wait until a worker is ready, so that the next `ask` takes no longer than its comparison."""
        with self.turns:
            worker = self.take()
            if worker is not None:
                self.put_back(worker)

    def close(self) -> None:
        """End all workers. A later `ask` starts new ones."""
        with self.lock:
            workers, self.all, self.idle = self.all, set(), []
            if self.owner != os.getpid():
                return  # A forked copy of this pool must not end its parent's workers.
        for worker in workers:
            worker.kill()

    def take(self) -> GradingProcess | None:
        worker = self.idle_or_new()
        if worker is None or worker.wait_until_ready():
            return worker
        self.drop(worker)
        return None

    def idle_or_new(self) -> GradingProcess | None:
        with self.lock:
            if self.owner != os.getpid():
                # After a fork the pipes are shared with the parent: leave them to it.
                self.idle, self.all, self.owner = [], set(), os.getpid()
            return self.idle.pop() if self.idle else self.start()

    def start(self) -> GradingProcess | None:
        try:
            worker = GradingProcess()
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
            # Its successor imports what it needs while the caller goes on.
            successor = None if closed else self.start()
            if successor is not None:
                self.idle.append(successor)
        self.drop(worker)

    def drop(self, worker: GradingProcess) -> None:
        with self.lock:
            self.all.discard(worker)
        worker.kill()
