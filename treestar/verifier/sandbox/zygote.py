"""The zygote: a process that has imported everything a step may use, and forks itself for each execution.

It is started by `connection.py` as `python -m treestar.verifier.sandbox.zygote DESCRIPTOR CONFIG` and speaks frames
over the socket DESCRIPTOR: it sends `{"ready": true}` once, receives `{"id", "path", "code"}` and `{"cancel": id}`, and
answers each request with `{"id", "status", "seconds", "reply"}`, where `status` is "answered", "deadline", "died" or
"cancelled".
It has one thread, holds no state of any step, and ends when the engine's end of the socket closes.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import resource
import selectors
import signal
import socket
import sys
import time
import warnings
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from treestar.verifier.sandbox.child import STARTED, Limits, run_and_exit
from treestar.verifier.sandbox.frames import Frame, FrameBuffer, encode
from treestar.verifier.sandbox.hardening import harden_sympy
from treestar.verifier.sandbox.modules import prepare_modules

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_READ_SIZE = 1 << 16


@dataclass
class _Run:
    """One forked process and what it has sent so far."""

    request: Frame
    pid: int
    pipe: int
    started_at: float
    deadline: float
    step_begun: bool = False
    reply: bytearray = field(default_factory=bytearray)


class ForkServer:
    """Forks a process for each request, watches its deadline, and passes its reply on."""

    def __init__(self, engine: socket.socket, config: dict[str, Any], limits: Limits) -> None:
        self._engine = engine
        self._concurrency = int(config["concurrency"])
        self._reply_limit = 12 * int(config["output_limit"]) + 65536  # JSON escapes one character with 12 at most
        self._limits = limits
        self._frames = FrameBuffer()
        self._waiting: deque[Frame] = deque()
        self._running: dict[int, _Run] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(engine, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve requests until the engine hangs up. Leaves no process behind."""
        try:
            while True:
                while self._waiting and len(self._running) < self._concurrency:
                    self._start(self._waiting.popleft())
                for key, _ in self._selector.select(self._time_left()):
                    if key.fileobj is self._engine:
                        received = self._engine.recv(_READ_SIZE)
                        if not received:
                            return
                        self._receive(received)
                    elif key.fd in self._running:
                        self._collect(self._running[key.fd])
                self._end_overdue()
        finally:
            for run in list(self._running.values()):
                self._kill(run)

    def _time_left(self) -> float | None:
        if not self._running:
            return None
        return max(0.0, min(run.deadline for run in self._running.values()) - time.monotonic())

    def _receive(self, received: bytes) -> None:
        for frame in self._frames.feed(received):
            if "cancel" in frame:
                self._cancel(frame["cancel"])
            else:
                self._waiting.append(frame)

    def _cancel(self, request_id: int) -> None:
        for run in list(self._running.values()):
            if run.request["id"] == request_id:
                self._finish(run, "cancelled")
        self._waiting = deque(frame for frame in self._waiting if frame["id"] != request_id)

    def _start(self, request: Frame) -> None:
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            run_and_exit(request["path"], request["code"], write_end, self._limits)
        os.close(write_end)
        now = time.monotonic()
        # The steps before were each run within the limit once; the clock of the new one starts when it begins.
        allowed = self._limits.seconds * (len(request["path"]) + 1)
        self._running[read_end] = _Run(request, pid, read_end, now, now + allowed)
        self._selector.register(read_end, selectors.EVENT_READ)

    def _collect(self, run: _Run) -> None:
        received = os.read(run.pipe, _READ_SIZE)
        run.reply += received
        if not run.step_begun and run.reply.startswith(STARTED):
            run.step_begun = True
            run.deadline = time.monotonic() + self._limits.seconds
        if not received:
            self._finish(run, "answered" if run.reply.endswith(b"}") else "died")
        elif len(run.reply) > self._reply_limit:
            self._finish(run, "died")

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for run in list(self._running.values()):
            if run.deadline <= now:
                self._finish(run, "deadline")

    def _finish(self, run: _Run, status: str) -> None:
        seconds = time.monotonic() - run.started_at
        wait_status = self._kill(run)
        reply = bytes(run.reply).removeprefix(STARTED).decode("ascii", "replace") if status == "answered" else ""
        if status == "died" and os.WIFSIGNALED(wait_status):
            reply = signal.Signals(os.WTERMSIG(wait_status)).name
        answer = {"id": run.request["id"], "status": status, "seconds": seconds, "reply": reply}
        self._engine.sendall(encode(answer))

    def _kill(self, run: _Run) -> int:
        """End the process and its group, whatever state it is in, and give its wait status."""
        self._selector.unregister(run.pipe)
        os.close(run.pipe)
        del self._running[run.pipe]
        for end in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                end(run.pid, signal.SIGKILL)
        return os.waitpid(run.pid, 0)[1]


def _death_signal() -> Any:
    """A function that makes the system kill the calling process when its parent dies, where the system can."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return ask


def _address_space() -> int:
    """Bytes of address space this process has, or 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _load_libraries() -> None:
    """Import and warm up what steps use, with random numbers that are the same in every run."""
    warnings.simplefilter("ignore")
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # digit sums of large powers are ordinary questions; the deadline bounds them
    prepare_modules()
    harden_sympy()
    _warm_up()
    import numpy
    import sympy.core.random

    random.seed(0)
    numpy.random.seed(0)
    sympy.core.random.seed(0)


def _warm_up() -> None:
    """Make sympy do its lazy imports and fill its caches once rather than in every step."""
    import sympy

    x, y = sympy.symbols("x y")
    n = sympy.Symbol("n", integer=True, positive=True)
    sympy.solve(x**3 - 6 * x**2 + 11 * x - 6, x)
    sympy.solve([x + y - 3, x * y - 2], [x, y])
    sympy.linsolve([x + y - 3, x - y - 1], [x, y])
    sympy.solveset(sympy.sin(x) - 1, x, sympy.S.Reals)
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.integrate(x * sympy.exp(x), (x, 0, 1))
    sympy.limit(sympy.sin(x) / x, x, 0)
    sympy.summation(n**2, (n, 1, 10))
    sympy.nsolve(x**2 - 2, x, 1)
    sympy.lambdify(x, x**2 + 1)(2)
    sympy.reduce_inequalities([x**2 < 4], x)
    sympy.Matrix([[1, 2], [3, 4]]).eigenvals()
    sympy.factorint(360), sympy.nsimplify(0.5), sympy.latex(x / 2), sympy.pretty(x / 2)
    sympy.sympify("x**2 + 2*x + 1").factor().diff(x).evalf(subs={x: 2})


def main() -> None:
    """Load, say so, serve. Everything but the socket is closed or goes to the null device."""
    descriptor, config = int(sys.argv[1]), json.loads(sys.argv[2])
    engine = socket.socket(fileno=descriptor)
    die_with_parent = _death_signal()
    die_with_parent()
    if os.getppid() != config["engine"]:
        return
    _load_libraries()
    gc.collect()
    gc.freeze()
    base = _address_space()
    limits = Limits(
        address_space=base + config["memory_mb"] * 2**20 if base else 0,
        seconds=config["seconds"],
        output=config["output_limit"],
        set_death_signal=die_with_parent,
    )
    engine.sendall(encode({"ready": True}))
    ForkServer(engine, config, limits).serve()


if __name__ == "__main__":
    main()
