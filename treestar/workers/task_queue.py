"""A queue of tasks. A consumer that could not finish a task gives it back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from treestar.types import TreestarError
from treestar.workers.worker import TaskT

__all__ = ["Attempt", "TaskQueue"]


@dataclass
class Attempt(Generic[TaskT]):
    """A task, and how many times it was given back."""

    task: TaskT
    failures: int = 0


class TaskQueue(Generic[TaskT]):
    """Hands out tasks; those that were given back come first. Bound to one event loop.

    Args:
        retries: how many times a task may be given back.
    """

    def __init__(self, retries: int) -> None:
        self.retries = retries
        self.source: Iterator[TaskT] = iter(())
        self.given_back: deque[Attempt[TaskT]] = deque()
        self.in_flight = 0
        self.more = asyncio.Event()
        """Set when a task may be available."""
        self.drained = asyncio.Event()
        """Set when every task is finished and another one is requested."""

    def fill(self, tasks: Iterable[TaskT]) -> None:
        """Add `tasks`, once all earlier ones are finished."""
        self.source = iter(tasks)
        self.drained.clear()
        self.more.set()

    async def take(self) -> Attempt[TaskT]:
        """The next task. Waits while the queue is empty, because a task may be given back or added.

        Raises:
            TreestarError: a task was given back more than `retries` times.
        """
        while True:
            attempt = self.given_back.popleft() if self.given_back else self.next_new()
            if attempt is not None:
                break
            self.more.clear()
            if self.in_flight == 0:
                self.drained.set()
            await self.more.wait()
        if attempt.failures > self.retries:
            raise TreestarError(
                f"{attempt.failures} actors died while working on {attempt.task!r:.300}: if this task kills them "
                "(usually by its memory), leave it out, give them more memory, or lower --concurrency"
            )
        self.in_flight += 1
        return attempt

    def next_new(self) -> Attempt[TaskT] | None:
        for task in self.source:
            return Attempt(task)
        return None

    def give_back(self, attempt: Attempt[TaskT]) -> None:
        """A task that was taken is not finished."""
        attempt.failures += 1
        self.in_flight -= 1
        self.given_back.append(attempt)
        self.more.set()

    def finish(self) -> None:
        """A task that was taken is finished."""
        self.in_flight -= 1
