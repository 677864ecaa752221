"""A worker runs tasks concurrently on one event loop. `Workers` is one worker in this process, or many in others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from treestar.concurrency import gather_all

__all__ = ["LocalWorkers", "OnResult", "Opening", "ResultT", "TaskT", "Worker", "Workers"]

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

OnResult = Callable[[TaskT, ResultT], None]
"""Called with each task and its result as it finishes, one at a time, in any order."""


@dataclass(frozen=True)
class Worker(Generic[TaskT, ResultT]):
    """Runs tasks in one process, with its own models and sandbox."""

    work: Callable[[TaskT], Awaitable[ResultT]]
    """A result depends only on its task, not on which worker runs it or how many times."""
    about: Mapping[str, Any]
    """The models, which results depend on besides their tasks. The same in all workers."""
    remarks: Callable[[], Sequence[str]] = tuple
    """Lines for the user when the worker closes."""


Opening = Callable[[], AbstractAsyncContextManager[Worker[TaskT, ResultT]]]
"""Opens a worker in the process that calls it. For Ray it must be serializable with cloudpickle."""


class Workers(Protocol[TaskT, ResultT_co]):
    """Open workers."""

    @property
    def about(self) -> Mapping[str, Any]:
        """See `Worker.about`."""
        ...

    async def run(self, tasks: Iterable[TaskT], on_result: OnResult[TaskT, ResultT_co]) -> None:
        """Run all `tasks`. They are taken one by one as workers become free, so `tasks` can be a generator.

        Raises:
            TreestarError: a worker failed permanently. Results already passed to `on_result` stay valid.
        """
        ...


class LocalWorkers(Generic[TaskT, ResultT]):
    """One worker in this process, which runs at most `concurrency` tasks at a time.

    Raises:
        ValueError: `concurrency` is less than 1.
    """

    def __init__(self, worker: Worker[TaskT, ResultT], concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be a whole number, 1 or more, not {concurrency!r}")
        self.worker = worker
        self.concurrency = concurrency

    @property
    def about(self) -> Mapping[str, Any]:
        return self.worker.about

    async def run(self, tasks: Iterable[TaskT], on_result: OnResult[TaskT, ResultT]) -> None:
        left = iter(tasks)

        async def work() -> None:
            for task in left:  # all places take from the same iterator
                on_result(task, await self.worker.work(task))

        await gather_all([work() for _ in range(self.concurrency)])
