"""From what makes a worker to workers that are open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from treestar.workers.ray_config import RayConfig
from treestar.workers.worker import JobT, LocalWorkers, Opening, ResultT, Workers

__all__ = ["open_workers"]


@asynccontextmanager
async def open_workers(
    opening: Opening[JobT, ResultT],
    concurrency: int,
    ray: RayConfig | None = None,
    remark: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Workers[JobT, ResultT]]:
    """A worker in this process, or one in each of many actors on a Ray cluster; all end when the context is left.

    Args:
        concurrency: most jobs that one worker does at the same time.
        ray: which cluster, and what an actor gets of it; None for this process.
        remark: told what the workers have to say at their end, and which actors were lost.

    Raises:
        TreestarError: a worker cannot be made, Ray is not installed, or the cluster cannot be reached or has no room.
    """
    if ray is not None:
        from treestar.workers.ray_actors import open_actors

        async with open_actors(opening, concurrency, ray, remark) as actors:
            yield actors
        return
    async with opening() as worker:
        try:
            yield LocalWorkers(worker, concurrency)
        finally:
            for each in worker.remarks():
                remark(each)
