"""Opens workers: one in this process, or one in each actor of a Ray cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from treestar.workers.ray_config import RayConfig
from treestar.workers.worker import LocalWorkers, Opening, ResultT, TaskT, Workers

__all__ = ["open_workers"]


@asynccontextmanager
async def open_workers(
    opening: Opening[TaskT, ResultT],
    concurrency: int,
    ray: RayConfig | None = None,
    remark: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Workers[TaskT, ResultT]]:
    """A worker in this process, or one in each actor on a Ray cluster; all are closed when the context exits.

    Args:
        concurrency: maximum number of tasks that one worker runs at a time.
        ray: the cluster, and the resources of each actor; None for this process.
        remark: called with each remark of a closing worker, and when an actor is lost.

    Raises:
        TreestarError: a worker cannot be opened, Ray is not installed, or the cluster is unreachable or has no room.
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
