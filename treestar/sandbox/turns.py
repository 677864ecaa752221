"""A semaphore for tasks of several event loops in several threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from types import TracebackType

__all__ = ["Turns"]


class Turns:
    """Admits up to `limit` tasks at a time: `async with turns:`. First come, first served."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self.lock = threading.Lock()
        self.waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def __aenter__(self) -> None:
        with self.lock:
            if self.free and not self.waiting:
                self.free -= 1
                return
            loop = asyncio.get_running_loop()
            turn: asyncio.Future[None] = loop.create_future()
            waiting = (loop, turn)
            self.waiting.append(waiting)
        try:
            await turn
        except asyncio.CancelledError:
            with self.lock:
                still_waiting = waiting in self.waiting
                if still_waiting:
                    self.waiting.remove(waiting)
            if not still_waiting:  # the turn was granted, but the task no longer waits for it
                self.pass_on()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        """Pass a finished turn to the first waiting task whose event loop still runs."""
        with self.lock:
            while self.waiting:
                if grant(*self.waiting.popleft()):
                    return
            self.free += 1


def grant(loop: asyncio.AbstractEventLoop, turn: asyncio.Future[None]) -> bool:
    """Admit the task that waits for `turn`. Returns False if its event loop is closed."""
    if loop is asyncio._get_running_loop():  # the common case: the loop need not be woken up
        let_in(turn)
        return True
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(let_in, turn)
        return True
    return False


def let_in(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
