"""The zygote: a process that has imported everything a step may use, jails itself, and forks one worker per tree.

`connection.py` starts it as `python -m treestar.sandbox.jail.zygote DESCRIPTOR CONFIG`. Over the socket
DESCRIPTOR it sends `{"ready": {layer: status}}` once, or `{"unsupported": reason}`. Then it accepts two commands:
`{"fork": id}`, which comes with the worker's end of a socket, and `{"kill": id}`. It sends `{"forked": id,
"process": number}`, and `{"ended": id, "signal": number or null}` for every worker that ended, killed or not. It never
reads from a worker and never runs a step's code. When the engine's end of the socket closes, the zygote and all its
workers end.
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

from treestar.sandbox.frames import Frame, FrameBuffer, encode
from treestar.sandbox.jail.layers import SOCKET, Unsupported, jail_worker, jail_zygote, require_support
from treestar.sandbox.jail.privileges import die_with_parent
from treestar.sandbox.language.warm_up import load_libraries
from treestar.sandbox.worker.loop import serve

__all__: list[str] = []

READ_SIZE = 1 << 16
DESCRIPTORS_AT_ONCE = 16
HIGHEST_DESCRIPTOR = 1 << 16
CPU_SECONDS = 3600
"""Processor seconds after which a worker is killed, busy or not; its tree then gets a new one and reruns its path."""


@dataclass(frozen=True)
class Settings:
    """The arguments from `connection.py`: the fields of `SandboxConfig` needed here, and the engine's process id."""

    engine: int
    isolation: str
    restricted: bool
    memory_mb: int
    output_limit: int


class ForkServer:
    """Executes the engine's commands. `engine` is the zygote's end of the socket."""

    def __init__(self, engine: socket.socket, settings: Settings, address_space: int) -> None:
        self.engine = engine
        self.settings = settings
        self.address_space = address_space
        self.frames = FrameBuffer()
        self.received: deque[int] = deque()
        """Descriptors received with fork commands, in the order of the commands."""
        self.workers: dict[int, int] = {}
        """Process id of each worker, by the engine's worker id."""

    def serve(self) -> None:
        """Serve until the engine closes the connection. Leaves no process behind."""
        wake_up, wake_up_writer = socket.socketpair()
        wake_up_writer.setblocking(False)
        signal.set_wakeup_fd(wake_up_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler the wakeup descriptor gets no signals
        with selectors.DefaultSelector() as selector:
            selector.register(self.engine, selectors.EVENT_READ)
            selector.register(wake_up, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in selector.select():
                        if key.fileobj is wake_up:
                            wake_up.recv(READ_SIZE)
                            self.report_ended()
                        elif not self.take_orders():
                            return
            finally:
                for process in self.workers.values():
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)

    def take_orders(self) -> bool:
        """Read and execute the engine's commands. Returns False if the engine closed the connection."""
        received, descriptors, _, _ = socket.recv_fds(self.engine, READ_SIZE, DESCRIPTORS_AT_ONCE)
        self.received += descriptors
        for frame in self.frames.feed(received):
            if "fork" in frame:
                self.fork_worker(frame["fork"], self.received.popleft())
            elif frame["kill"] in self.workers:
                os.kill(self.workers[frame["kill"]], signal.SIGKILL)
        return bool(received)

    def fork_worker(self, worker: int, descriptor: int) -> None:
        parent = os.getpid()
        try:
            process = os.fork()
        except OSError:
            self.tell({"ended": worker, "signal": None})
        else:
            if process == 0:
                be_worker(descriptor, parent, self.settings, self.address_space)
            self.workers[worker] = process
            self.tell({"forked": worker, "process": process})
        os.close(descriptor)

    def report_ended(self) -> None:
        """Reap every worker that has ended, and report it to the engine."""
        for worker, process in list(self.workers.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del self.workers[worker]
                self.tell({"ended": worker, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None})

    def tell(self, frame: Frame) -> None:
        with suppress(OSError):  # the engine is gone; the next read detects that
            self.engine.sendall(encode(frame))


def be_worker(descriptor: int, parent: int, settings: Settings, address_space: int) -> NoReturn:
    """Turn this fresh fork into a worker that serves the engine over `descriptor`. Never returns."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(0, 1)
        os.dup2(0, 2)
        os.dup2(descriptor, SOCKET, inheritable=False)
        os.closerange(SOCKET + 1, HIGHEST_DESCRIPTOR)
        die_with_parent(parent)
        try:
            layers = jail_worker(settings.isolation, address_space, CPU_SECONDS)
        except Unsupported as error:
            os.write(SOCKET, encode({"unsupported": str(error)}))
        else:
            serve(SOCKET, layers, settings.output_limit, settings.restricted)
            status = 0
    finally:
        os._exit(status)


def address_space_in_use() -> int:
    """Bytes of address space this process has, or 0 if unknown."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def main() -> None:
    """Load, jail, report ready, serve. The standard streams are the null device or the engine's log."""
    engine = socket.socket(fileno=int(sys.argv[1]))
    given: dict[str, Any] = json.loads(sys.argv[2])
    settings = Settings(**given)
    die_with_parent(settings.engine)
    try:
        if settings.isolation == "full":
            require_support()  # before the imports, which take seconds
        load_libraries(settings.restricted)
        gc.collect()
        gc.freeze()
        base = address_space_in_use()
        layers = jail_zygote(settings.isolation)
        die_with_parent(settings.engine)
    except Unsupported as error:
        engine.sendall(encode({"unsupported": str(error)}))
        return
    engine.sendall(encode({"ready": layers}))
    ForkServer(engine, settings, base + settings.memory_mb * 2**20 if base else 0).serve()


if __name__ == "__main__":
    main()
