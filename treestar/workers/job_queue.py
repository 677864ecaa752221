"""Jobs that many take from, and give back where they could not do them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic

from treestar.types import TreestarError
from treestar.workers.worker import JobT

__all__ = ["Attempt", "JobQueue"]


@dataclass
class Attempt(Generic[JobT]):
    """A job with how often it was given back."""

    job: JobT
    failures: int = 0


class JobQueue(Generic[JobT]):
    """Hands out jobs, those first that were given back. Belongs to one event loop.

    Args:
        retries: how many times a job may be given back.
    """

    def __init__(self, retries: int) -> None:
        self.retries = retries
        self.source: Iterator[JobT] = iter(())
        self.given_back: deque[Attempt[JobT]] = deque()
        self.in_flight = 0
        self.more = asyncio.Event()
        """Set where there may be something to take."""
        self.drained = asyncio.Event()
        """Set when every job is done and another is asked for."""

    def fill(self, jobs: Iterable[JobT]) -> None:
        """Put `jobs` in, after those before are done."""
        self.source = iter(jobs)
        self.drained.clear()
        self.more.set()

    async def take(self) -> Attempt[JobT]:
        """The next job; waits where there is none, for others may be given back or put in.

        Raises:
            TreestarError: a job was given back too often.
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
                f"{attempt.failures} actors have died while they were at {attempt.job!r:.300}: if it is what kills "
                "them (memory is the usual way), leave it out, or give more memory or a smaller --concurrency"
            )
        self.in_flight += 1
        return attempt

    def next_new(self) -> Attempt[JobT] | None:
        for job in self.source:
            return Attempt(job)
        return None

    def give_back(self, attempt: Attempt[JobT]) -> None:
        """What was taken is not done."""
        attempt.failures += 1
        self.in_flight -= 1
        self.given_back.append(attempt)
        self.more.set()

    def finish(self) -> None:
        """What was taken is done."""
        self.in_flight -= 1
