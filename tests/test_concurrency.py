"""Coroutines that run together and end together."""

from __future__ import annotations

import asyncio

import pytest

from treestar.concurrency import gather_all


async def number(value: int, seconds: float, ended: list[int]) -> int:
    try:
        await asyncio.sleep(seconds)
        if value < 0:
            raise ValueError(value)
        return value
    finally:
        ended.append(value)


def test_results_are_in_the_order_given() -> None:
    assert asyncio.run(gather_all([number(1, 0.01, []), number(2, 0, [])])) == [1, 2]


def test_all_have_ended_when_the_error_of_one_is_raised() -> None:
    ended: list[int] = []
    with pytest.raises(ValueError, match="-1"):
        asyncio.run(gather_all([number(1, 60, ended), number(-1, 0, ended), number(2, 60, ended)]))
    assert sorted(ended) == [-1, 1, 2]


def test_all_have_ended_when_the_caller_is_cancelled() -> None:
    ended: list[int] = []

    async def cancelled() -> None:
        task = asyncio.create_task(gather_all([number(1, 60, ended), number(2, 60, ended)]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == [1, 2]

    asyncio.run(cancelled())
