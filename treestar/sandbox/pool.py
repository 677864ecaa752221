"""Assigns a limited number of workers to trees; the least recently used worker is replaced first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from treestar.sandbox.worker_process import WorkerProcess

__all__ = ["WorkerPool"]

IDLE_SECONDS = 0.05
"""Processor seconds that a worker may use between two sweeps without a request."""


class WorkerPool:
    """Keeps the workers that no run is using. All methods may be called from any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = threading.Lock()
        self.idle: OrderedDict[WorkerProcess, float | None] = OrderedDict()
        """Least recently used first; each with its processor time at the last `sweep`."""
        self.busy = 0

    def take(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        """Mark `worker` as busy. Returns None if it was killed meanwhile (or is None): the caller then starts a new
        one, for which this has made room."""
        with self.lock:
            self.busy += 1
            if worker is not None and worker in self.idle:
                del self.idle[worker]
                return worker
            surplus = self.busy + len(self.idle) - self.limit
            given_up = [self.idle.popitem(last=False)[0] for _ in range(min(surplus, len(self.idle)))]
        for each in given_up:
            each.kill()
        return None

    def give_back(self, worker: WorkerProcess | None) -> None:
        """The counterpart of `take`: `worker` is idle now, or has been killed if None."""
        with self.lock:
            self.busy -= 1
            if worker is not None:
                self.idle[worker] = None

    def discard(self, worker: WorkerProcess) -> None:
        """Kill `worker`, idle or busy."""
        with self.lock:
            self.idle.pop(worker, None)
        worker.kill()

    def sweep(self) -> None:
        """Kill workers that reported a result but continue computing: the step forged the result."""
        with self.lock:
            for worker, before in list(self.idle.items()):
                now = worker.connection.processor_seconds(worker.id)
                if before is not None and now is not None and now - before > IDLE_SECONDS:
                    del self.idle[worker]
                    worker.kill()
                else:
                    self.idle[worker] = now
