"""One sandbox process for many executors.

A zygote loads sympy for two to four seconds, and most tests of other rooms make an executor of their own. Here they use
the same zygote one after another; each still forks its own workers, in the same jail. The sandbox's own tests start
theirs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from treestar.sandbox.config import SandboxConfig
from treestar.sandbox.connection import ZYGOTE_SETTINGS, Connection

__all__ = ["SharedSandbox"]


class SharedSandbox:
    """Zygotes by the settings with which they were started. `lease` takes the place of `Connection`."""

    def __init__(self) -> None:
        self.running: dict[tuple[Any, ...], Connection] = {}
        self.sweeps: weakref.WeakSet[Lease] = weakref.WeakSet()

    def lease(self, config: SandboxConfig, now_and_then: Callable[[], None]) -> Lease:
        settings = tuple(getattr(config, name) for name in ZYGOTE_SETTINGS)
        running = self.running.get(settings)
        if running is None or not running.usable():
            running = self.running[settings] = Connection(config, self.sweep)
        lease = Lease(running, now_and_then)
        self.sweeps.add(lease)
        return lease

    def sweep(self) -> None:
        for lease in list(self.sweeps):
            lease.now_and_then()

    def close(self) -> None:
        for running in self.running.values():
            running.close()


class Lease:
    """A `Connection` to a zygote that outlives it: closing it ends the workers that it forked."""

    def __init__(self, connection: Connection, now_and_then: Callable[[], None]) -> None:
        self.connection = connection
        self.now_and_then = now_and_then
        self.workers: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def fork(self, worker_end: Any) -> Any:
        worker, ended = self.connection.fork(worker_end)
        self.workers.append(worker)
        return worker, ended

    def close(self) -> None:
        for worker in self.workers:
            self.connection.kill(worker)
