"""Coroutines that run together and end together, and their order at a busy model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["TURN", "gather_all"]

TURN: ContextVar[int] = ContextVar("TURN", default=0)
"""The number of the search that the current coroutine belongs to. A model that has more requests than it can compute at
once serves lower numbers first, so that searches that began earlier finish before later ones get far. What belongs to
no search goes first."""

ResultT = TypeVar("ResultT")


async def gather_all(coroutines: Iterable[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
    """The results of coroutines that run concurrently, in the order given.

    If one raises, or the caller is cancelled, the others are cancelled, and have ended before the error is raised.
    """
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
