"""The searches of a server: limits on running and waiting searches, and graceful shutdown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from math import ceil
from threading import Event

from treestar.search import Search, SearchConfig, SearchResult, SearchStats, search_one
from treestar.serve.errors import RequestError
from treestar.serve.request import SearchRequest
from treestar.solver import Solver

__all__ = ["Searches", "ServedSearch", "closing_error"]

log = logging.getLogger("treestar.serve")


class ServedSearch:
    """The search of one request, waiting or running. Its `result` is a separate task, so its slot stays occupied until
    the search has really ended, whatever happens to the request."""

    result: asyncio.Task[SearchResult]

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        self.stop = Event()
        self.running = False
        self.stats = SearchStats()
        """Resources used so far."""

    def end(self) -> None:
        """End a running search with what it has found; cancel a waiting one. Does nothing to a finished one."""
        if self.running:
            self.stop.set()
        else:
            self.result.cancel()

    def on_progress(self, search: Search[SearchConfig]) -> None:
        self.stats = search.stats


class Searches:
    """Lives on the server's event loop; the searches run on the solver's.

    Args:
        concurrency: maximum number of running searches.
        queue: maximum number of waiting searches; more are rejected.
    """

    def __init__(self, solver: Solver, concurrency: int, queue: int) -> None:
        self.solver = solver
        self.concurrency = concurrency
        self.queue = queue
        self.closing = False
        self.places = asyncio.Semaphore(concurrency)
        self.admitted: set[ServedSearch] = set()
        self.recent_seconds: deque[float] = deque([1.0], maxlen=32)

    @property
    def running(self) -> int:
        return sum(search.running for search in self.admitted)

    @property
    def waiting(self) -> int:
        return len(self.admitted) - self.running

    def begin(self, request: SearchRequest) -> ServedSearch:
        """Start a search, or queue it.

        Raises:
            RequestError: 429 if the queue is full, 503 if the server is closing.
        """
        if self.closing:
            raise closing_error()
        if len(self.admitted) >= self.concurrency + self.queue:
            seconds = ceil(sum(self.recent_seconds) / len(self.recent_seconds))
            raise RequestError(
                429,
                f"{self.concurrency} searches are running and {self.queue} are waiting, which is the limit",
                code="queue_full",
                retry_after=max(seconds, 1),
            )
        search = ServedSearch(request)
        self.admitted.add(search)
        search.result = asyncio.create_task(self.run(search))
        search.result.add_done_callback(lambda _: self.admitted.discard(search))
        return search

    async def run(self, search: ServedSearch) -> SearchResult:
        request = search.request
        async with self.places:
            search.running = True
            started = time.monotonic()
            work = search_one(
                request.problem, request.config, self.solver.components, request.seed, search.stop, search.on_progress
            )
            try:
                return await asyncio.wrap_future(self.solver.submit(work))
            except Exception:
                log.exception("a search failed")
                raise
            finally:
                self.recent_seconds.append(time.monotonic() - started)

    async def close(self, grace_seconds: float) -> None:
        """Stop accepting searches. Running ones can finish within that time; then they end with what they have found,
        and waiting ones are canceled."""
        self.closing = True
        await self.all_ended(grace_seconds)
        self.end()
        await self.all_ended(grace_seconds + 5)  # the current wave finishes first

    def end(self) -> None:
        for search in list(self.admitted):
            search.end()

    async def all_ended(self, timeout: float) -> None:
        if self.admitted:
            await asyncio.wait([search.result for search in self.admitted], timeout=timeout)


def closing_error() -> RequestError:
    return RequestError(503, "the server is shutting down", code="shutting_down", retry_after=5)
