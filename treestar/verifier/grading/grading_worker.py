"""The worker process: loads its libraries once, then compares answers in a forked child that can be killed.

There are two kinds. Most workers do without sympy, start in a fraction of a second, and say when a comparison needs it;
the others load it first.

There are two processes. The *keeper* reads requests from the engine, passes each to its child and waits for at most the
allowed seconds. A child that exceeds them, crashes or runs out of memory is killed, and a new one is forked in a few
milliseconds, because the imports are already done. The keeper has one thread and never computes anything itself, so
forking it is safe. Both end with the engine: the keeper detects the end of its socket or a changed parent, and the
child is killed with the keeper.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator

__all__ = ["main"]

MEMORY_BYTES = 2 * 1024**3
"""Address space of a child; sympy itself takes about 0.3 GiB of it."""
PARENT_CHECK_SECONDS = 5.0
"""Interval in seconds at which an idle keeper checks that the engine is still running."""
RECURSION_LIMIT = 2500
"""Deep enough for real answers, shallow enough that nested input raises before it overflows the C stack."""
MOST_COMPARISONS = 5000
"""Comparisons of one child, because the grammar's and sympy's tables grow with use."""
LONGEST_REPLY = 64
"""In bytes."""

WARM_UP = (
    ("\\frac{\\sqrt{2}}{2}x + 3y^{2} - 1", "0.5 x - \\sin^{2}(x)\\cos 2x"),
    ("(2,3]", "2 < x \\le 3"),
    ("x = \\pm 2 \\text{ cm}", "\\{2, -2\\}"),
    ("The answer is $2\\pi r (r+h)$.", "e^{-x}(1+\\ln(x))\\sqrt[3]{x^{2}+1}"),
    ("y - 2x = 1", "2y = 4x + 2"),
)
"""Pairs that exercise the common rules, so that a first comparison takes no longer than the others."""
SYMBOLIC_WARM_UP = (
    ("(2,3]\\cup[5,\\infty)", "2 < x \\le 3"),
    ("|x|<3", "(-\\infty,3)\\cup(4,5)"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}+A", "\\int_{0}^{1} \\log_{2} x dx + B"),
    ("f(x_{1})", "\\sum_{k=1}^{n} k! \\cdot \\binom{n}{k} f(k)"),
    ("1/2x", "-\\frac{\\pi}{4}k+f(1)"),
)
"""Pairs that exercise the common constructs of sympy and of its grammar, whose tables grow with use."""


class Child:
    """A forked process that compares one pair after another."""

    def __init__(self, engine: socket.socket) -> None:
        """`engine`: the socket through which the keeper talks to the engine; the child must close it."""
        self.answered = 0
        self.socket, childs_end = socket.socketpair()
        self.process_id = os.fork()
        if self.process_id == 0:
            self.socket.close()
            engine.close()
            status = 1
            try:
                compare_forever(childs_end)
                status = 0
            finally:
                os._exit(status)
        childs_end.close()

    def ask(self, request: bytes, seconds: float) -> bytes:
        """The child's reply to a line of JSON, or nothing if it timed out or died; the child is then unusable."""
        deadline = time.monotonic() + seconds
        try:
            self.socket.settimeout(max(0.0, seconds))
            self.socket.sendall(request + b"\n")
            self.socket.settimeout(max(0.0, deadline - time.monotonic()))
            reply = self.socket.recv(LONGEST_REPLY)
        except OSError:
            return b""
        self.answered += 1
        return reply

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.process_id, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.waitpid(self.process_id, 0)
        self.socket.close()


def compare_forever(keeper: socket.socket) -> None:
    from treestar.verifier.grading.comparison import answers_equal
    from treestar.verifier.grading.symbolic import SymbolicNeeded

    die_with_parent()
    limit_memory()
    for request in keeper.makefile("rb"):
        first, second = json.loads(request)[:2]
        try:
            reply: bool | str = answers_equal(first, second)
        except SymbolicNeeded:
            reply = "symbolic"
        except MemoryError:
            return  # The heap may be in any state, so let the keeper fork a clean child.
        except BaseException:
            # Not only Exception: math-verify's own timeout error derives from BaseException.
            reply = False
        keeper.sendall(json.dumps(reply).encode() + b"\n")


def die_with_parent() -> None:
    """Ask Linux to kill this process when the keeper dies; elsewhere the closed socket ends it."""
    with contextlib.suppress(Exception):
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0)


def limit_memory() -> None:
    with contextlib.suppress(Exception):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(descriptor: int, symbolic: bool) -> None:
    """Serve requests `[first, second, seconds]`, one JSON line each, until the engine is gone.

    Sends `"ready"` once, then for each request `true`, `false`, `null` (no verdict in time) or, without sympy,
    `"symbolic"` (the comparison needs it).

    Args:
        descriptor: of the socket to the engine.
        symbolic: load sympy first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Only the engine handles Ctrl-C.
    engine, parent = socket.socket(fileno=descriptor), os.getppid()

    warm_up(symbolic)
    sys.setrecursionlimit(RECURSION_LIMIT)
    gc.collect()
    gc.freeze()
    child = Child(engine)
    engine.sendall(b'"ready"\n')
    for request in requests_of(engine, parent):
        reply = child.ask(request, float(json.loads(request)[2]))
        engine.sendall(reply or b"null\n")
        if not reply or child.answered >= MOST_COMPARISONS:
            child.kill()
            child = Child(engine)
    child.kill()


def warm_up(symbolic: bool) -> None:
    """Load and exercise the code that comparisons need, before children are forked; `symbolic`: also sympy."""
    from treestar.verifier.grading.comparison import answers_equal

    logging.disable(logging.CRITICAL)
    if symbolic:
        import sympy  # noqa: F401
    for first, second in (*WARM_UP, *(SYMBOLIC_WARM_UP if symbolic else ())):
        answers_equal(first, second)


def requests_of(engine: socket.socket, parent: int) -> Iterator[bytes]:
    """The lines that the engine, the process `parent`, sends, until it is gone."""
    begun = b""
    while True:
        if select.select([engine], [], [], PARENT_CHECK_SECONDS)[0]:
            received = engine.recv(1 << 16)
            if not received:
                return
            *lines, begun = (begun + received).split(b"\n")
            yield from lines
        elif os.getppid() != parent:
            return
