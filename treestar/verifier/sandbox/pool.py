"""Which trees have a worker: at most so many, and the one unused for longest gives its place to the next."""

from __future__ import annotations

import threading
from collections import OrderedDict

from treestar.verifier.sandbox.worker_process import WorkerProcess

__all__ = ["WorkerPool"]

IDLE_SECONDS = 0.05
"""Processor time that a worker may take between two sweeps without having been asked anything."""


class WorkerPool:
    """Keeps the workers that no run is using. May be called from any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lock = threading.Lock()
        self.idle: OrderedDict[WorkerProcess, float | None] = OrderedDict()
        """From the one unused for longest to the one used last; with the processor time it had at the last `sweep`."""
        self.busy = 0

    def take(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        """Make `worker` busy. None if it was given up meanwhile (or is None): its owner then starts another,
        for which this has made room."""
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
        """End what `take` began: `worker` is idle now; None: it has been killed."""
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
        """Kill workers that say they are done and go on computing: their answer was forged by the step it was about."""
        with self.lock:
            for worker, before in list(self.idle.items()):
                now = worker.processor_seconds()
                if before is not None and now is not None and now - before > IDLE_SECONDS:
                    del self.idle[worker]
                    worker.kill()
                else:
                    self.idle[worker] = now
