"""A worker does jobs, many beside each other on one event loop; workers are one of them, or many in other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["JobT", "LocalWorkers", "OnResult", "Opening", "ResultT", "Worker", "Workers"]

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

OnResult = Callable[[JobT, ResultT], None]
"""Called with each job and its result as it is done, one at a time, in any order."""


@dataclass(frozen=True)
class Worker(Generic[JobT, ResultT]):
    """What does jobs in one process, with models and a sandbox of its own."""

    work: Callable[[JobT], Awaitable[ResultT]]
    """A result hangs on its job alone, so that it does not matter which worker does it, or how often."""
    about: Mapping[str, Any]
    """What results hang on besides their jobs: the models. The same in all workers."""
    remarks: Callable[[], Sequence[str]] = tuple
    """What the user should know when all is done."""


Opening = Callable[[], AbstractAsyncContextManager[Worker[JobT, ResultT]]]
"""Makes a worker, in the process in which it is called. For Ray it must be something that cloudpickle takes."""


class Workers(Protocol[JobT, ResultT_co]):
    """Workers that are open."""

    @property
    def about(self) -> Mapping[str, Any]:
        """See `Worker.about`."""
        ...

    async def run(self, jobs: Iterable[JobT], on_result: OnResult[JobT, ResultT_co]) -> None:
        """Do all `jobs`, which are taken one by one as workers have room, so they need not all exist at once.

        Raises:
            TreestarError: a worker failed for good. What was given to `on_result` before stays valid.
        """
        ...


class LocalWorkers(Generic[JobT, ResultT]):
    """One worker, in this process, which does at most `concurrency` jobs at the same time."""

    def __init__(self, worker: Worker[JobT, ResultT], concurrency: int) -> None:
        self.worker = worker
        self.concurrency = concurrency

    @property
    def about(self) -> Mapping[str, Any]:
        return self.worker.about

    async def run(self, jobs: Iterable[JobT], on_result: OnResult[JobT, ResultT]) -> None:
        left = iter(jobs)

        async def work() -> None:
            for job in left:  # all tasks take from the same iterator
                on_result(job, await self.worker.work(job))

        tasks = [asyncio.create_task(work()) for _ in range(self.concurrency)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
