"""The zygote: a process that has imported everything a step may use, jails itself, and forks one worker a tree.

`connection.py` starts it as `python -m treestar.verifier.sandbox.jail.zygote DESCRIPTOR CONFIG`. Over the socket
DESCRIPTOR it sends `{"ready": {layer: how it stands}}` once, or `{"unsupported": why}`. Then it takes two orders:
`{"fork": id}`, which comes with the worker's end of a socket, and `{"kill": id}`; and it says `{"forked": id,
"process": number}` and, of every worker that ended, killed or not, `{"ended": id, "signal": number or null}`. It never
reads from a worker and runs no code of a step. It ends, and every worker with it, when the engine's end of the socket
closes.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from treestar.verifier.sandbox.frames import Frame, FrameBuffer, encode
from treestar.verifier.sandbox.jail.layers import SOCKET, Unsupported, jail_worker, jail_zygote, require_support
from treestar.verifier.sandbox.jail.privileges import die_with_parent
from treestar.verifier.sandbox.language.warm_up import load_libraries
from treestar.verifier.sandbox.worker.loop import serve

__all__: list[str] = []

_READ_SIZE = 1 << 16
_DESCRIPTORS_AT_ONCE = 16
_HIGHEST_DESCRIPTOR = 1 << 16
_CPU_SECONDS = 3600
"""Processor time after which a worker is ended, busy or not; its tree then gets a new one and runs its path again."""


@dataclass(frozen=True)
class _Settings:
    """What `connection.py` hands over: the fields of `SandboxConfig` that matter here, and the engine's process id."""

    engine: int
    isolation: str
    restricted: bool
    memory_mb: int
    output_limit: int


class _ForkServer:
    """Takes the engine's orders. `engine` is the zygote's end of the socket to it."""

    def __init__(self, engine: socket.socket, settings: _Settings, address_space: int) -> None:
        self._engine = engine
        self._settings = settings
        self._address_space = address_space
        self._frames = FrameBuffer()
        self._received: deque[int] = deque()
        """Descriptors that came with fork orders, in the order of those orders."""
        self._workers: dict[int, int] = {}
        """The process of each worker, by the engine's id of it."""

    def serve(self) -> None:
        """Serve until the engine hangs up. Leaves no process behind."""
        wake_up, wake_up_writer = socket.socketpair()
        wake_up_writer.setblocking(False)
        signal.set_wakeup_fd(wake_up_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing wakes up
        with selectors.DefaultSelector() as selector:
            selector.register(self._engine, selectors.EVENT_READ)
            selector.register(wake_up, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in selector.select():
                        if key.fileobj is wake_up:
                            wake_up.recv(_READ_SIZE)
                            self._report_ended()
                        elif not self._take_orders():
                            return
            finally:
                for process in self._workers.values():
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)

    def _take_orders(self) -> bool:
        """Read and do what the engine sent. False: it hung up."""
        received, descriptors, _, _ = socket.recv_fds(self._engine, _READ_SIZE, _DESCRIPTORS_AT_ONCE)
        self._received += descriptors
        for frame in self._frames.feed(received):
            if "fork" in frame:
                self._fork(frame["fork"], self._received.popleft())
            elif frame["kill"] in self._workers:
                os.kill(self._workers[frame["kill"]], signal.SIGKILL)
        return bool(received)

    def _fork(self, worker: int, descriptor: int) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:
            self._tell({"ended": worker, "signal": None})
        else:
            if process == 0:
                _be_worker(descriptor, parent, self._settings, self._address_space)
            self._workers[worker] = process
            self._tell({"forked": worker, "process": process})
        os.close(descriptor)

    def _report_ended(self) -> None:
        """Collect every worker that has ended, and tell the engine."""
        for worker, process in list(self._workers.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del self._workers[worker]
                self._tell({"ended": worker, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None})

    def _tell(self, frame: Frame) -> None:
        with suppress(OSError):  # the engine is gone, which the next read will show
            self._engine.sendall(encode(frame))


def _be_worker(descriptor: int, parent: int, settings: _Settings, address_space: int) -> NoReturn:
    """Turn this fresh fork into a worker that talks to the engine over `descriptor`. Never returns."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(0, 1)
        os.dup2(0, 2)
        os.dup2(descriptor, SOCKET, inheritable=False)
        os.closerange(SOCKET + 1, _HIGHEST_DESCRIPTOR)
        die_with_parent(parent)
        try:
            layers = jail_worker(settings.isolation, address_space, _CPU_SECONDS)
        except Unsupported as error:
            os.write(SOCKET, encode({"unsupported": str(error)}))
        else:
            serve(SOCKET, layers, settings.output_limit, settings.restricted)
            status = 0
    finally:
        os._exit(status)


def _address_space() -> int:
    """Bytes of address space this process has, or 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main() -> None:
    """Load, jail, say so, serve. Standard input, output and error lead to the null device or to the engine's log."""
    engine = socket.socket(fileno=int(sys.argv[1]))
    given: dict[str, Any] = json.loads(sys.argv[2])
    settings = _Settings(**given)
    die_with_parent(settings.engine)
    try:
        if settings.isolation == "full":
            require_support()  # before the imports, which take seconds
        load_libraries(settings.restricted)
        gc.collect()
        gc.freeze()
        base = _address_space()
        layers = jail_zygote(settings.isolation)
        die_with_parent(settings.engine)
    except Unsupported as error:
        engine.sendall(encode({"unsupported": str(error)}))
        return
    engine.sendall(encode({"ready": layers}))
    _ForkServer(engine, settings, base + settings.memory_mb * 2**20 if base else 0).serve()


if __name__ == "__main__":
    main()
