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

_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from treestar.verifier.grading.grading_worker import main; main()"
)

Verdict = bool | None
"""Whether two answers are equal; None where the time ran out or the worker failed."""


class _GradingProcess:
    """One worker. Used by one thread at a time; the pool sees to that."""

    def __init__(self) -> None:
        self._buffer = b""
        self._ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def wait_until_ready(self) -> bool:
        """Wait for the worker's imports, the first time. False where it died or took too long."""
        self._ready = self._ready or self._read_line(time.monotonic() + START_SECONDS) is not None
        return self._ready

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Compare two answers in at most `seconds` and a short grace. None: no verdict, and the worker may be dead."""
        request = json.dumps([first, second, seconds]).encode("ascii") + b"\n"
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        if not self._write(request, deadline):
            self.kill()
            return None
        line = self._read_line(deadline)
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
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and collect it. Harmless when it has already ended."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _write(self, data: bytes, deadline: float) -> bool:
        assert self._process.stdin is not None
        descriptor = self._process.stdin.fileno()
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

    def _read_line(self, deadline: float) -> bytes | None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or len(self._buffer) > LONGEST_REPLY:
                return None
            if not select.select([descriptor], [], [], left)[0]:
                return None
            try:
                chunk = os.read(descriptor, LONGEST_REPLY)
            except OSError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line


class GradingPool:
    """A few workers, started when first needed, shared by all threads, ended with the interpreter."""

    def __init__(self, size: int) -> None:
        """`size`: the most comparisons that run at once; further callers wait their turn."""
        self._turns = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_GradingProcess] = []
        self._all: set[_GradingProcess] = set()
        self._owner = os.getpid()
        atexit.register(self.close)

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Whether two answers are equal, worked out in at most `seconds`; waiting for a worker is not counted.

        None where the time ran out or no worker could be started.
        """
        with self._turns:
            worker = self._take()
            if worker is None:
                return None
            verdict = worker.ask(first, second, seconds)
            self._put_back(worker)
            return verdict

    def prepare(self) -> None:
        """Wait until a worker is ready, so that the next `ask` takes no longer than its comparison."""
        with self._turns:
            worker = self._take()
            if worker is not None:
                self._put_back(worker)

    def close(self) -> None:
        """End all workers. A later `ask` starts new ones."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
            if self._owner != os.getpid():
                return  # A forked copy of this pool must not end its parent's workers.
        for worker in workers:
            worker.kill()

    def _take(self) -> _GradingProcess | None:
        worker = self._idle_or_new()
        if worker is None or worker.wait_until_ready():
            return worker
        self._discard(worker)
        return None

    def _idle_or_new(self) -> _GradingProcess | None:
        with self._lock:
            if self._owner != os.getpid():
                # After a fork the pipes are shared with the parent: leave them to it.
                self._idle, self._all, self._owner = [], set(), os.getpid()
            return self._idle.pop() if self._idle else self._start()

    def _start(self) -> _GradingProcess | None:
        try:
            worker = _GradingProcess()
        except OSError:
            return None
        self._all.add(worker)
        return worker

    def _put_back(self, worker: _GradingProcess) -> None:
        with self._lock:
            if worker in self._all and worker.alive:
                self._idle.append(worker)
                return
            closed = worker not in self._all
            # Its successor imports what it needs while the caller goes on.
            successor = None if closed else self._start()
            if successor is not None:
                self._idle.append(successor)
        self._discard(worker)

    def _discard(self, worker: _GradingProcess) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.kill()
