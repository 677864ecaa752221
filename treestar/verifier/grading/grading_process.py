"""The engine's side of the worker processes that compare answers symbolically.

A worker is started as a fresh interpreter (never by forking this process, which may hold threads and a GPU), loads its
libraries once, and answers each JSON line on its socket with one JSON line. Any thread may send requests. Nothing is
unpickled on either side. A comparison that runs out of time is stopped inside the worker's process tree; a worker that
does not report this is killed and replaced.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
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
    "from treestar.verifier.grading.grading_worker import main; main(int(sys.argv[2]), json.loads(sys.argv[3]))"
)

Verdict = bool | Literal["symbolic"] | None
"""Whether two answers are equal; "symbolic" if only a worker with sympy can tell; None if the time ran out or the
worker failed."""


class GradingProcess:
    """One worker. The pool ensures that only one thread uses it at a time."""

    def __init__(self, symbolic: bool) -> None:
        self.ready = False
        self.socket, worker_end = socket.socketpair()
        self.replies = self.socket.makefile("rb")
        with worker_end:
            descriptor = worker_end.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path), str(descriptor), json.dumps(symbolic)],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )

    def wait_until_ready(self) -> bool:
        """Wait for the worker's imports, the first time. Returns False if it died or took too long."""
        if not self.ready:
            self.socket.settimeout(START_SECONDS)
            with contextlib.suppress(OSError):
                self.ready = bool(self.replies.readline(LONGEST_REPLY))
        return self.ready

    def ask(self, first: str, second: str, seconds: float) -> Verdict:
        """Compare two answers in at most `seconds` plus a grace period. None: no verdict; the worker may be dead."""
        request = json.dumps([first, second, seconds]).encode("ascii") + b"\n"
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        try:
            self.socket.settimeout(max(0.0, deadline - time.monotonic()))
            self.socket.sendall(request)
            self.socket.settimeout(max(0.0, deadline - time.monotonic()))
            reply = json.loads(self.replies.readline(LONGEST_REPLY))
        except (OSError, ValueError):
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
        self.replies.close()
        self.socket.close()


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
                # After a fork the sockets are shared with the parent: leave them to it.
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
