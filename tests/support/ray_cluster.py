"""A cluster of two nodes on this machine, and workers for it with only scripted parts.

Actors import this module, so the code they run is here and not in the tests.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from support.scripted import SlowPolicy, components, random_script

from treestar.search import Components, MCTSConfig, search_one
from treestar.types import Problem, TreestarError
from treestar.workers import Worker

CONFIG = MCTSConfig(max_rollouts=8, children=3, max_depth=5, early_stop=False, gold=True)
SMALL_STORE = 2**27


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes of 4 logical CPUs each, to which this process is connected."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 4, "node_ip_address": "127.0.0.1", "object_store_memory": SMALL_STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def other_node(cluster: Any) -> Any:
    """The node without a connected driver."""
    [node] = cluster.worker_nodes
    return node


def place() -> tuple[int, str]:
    """The process that runs this code, and its node."""
    import ray

    return os.getpid(), ray.get_runtime_context().get_node_id()


@asynccontextmanager
async def open_tree_worker(seconds: float = 0.0) -> AsyncIterator[Worker[Problem, Any]]:
    """Searches problems. A result is the tree as JSON, and the process and node that searched it."""
    script = components(random_script())
    parts = Components(SlowPolicy(random_script()), script.executor, script.verifier)

    async def work(problem: Problem) -> Any:
        await asyncio.sleep(seconds)
        result = await search_one(problem, CONFIG, parts, seed=3)
        assert result.tree is not None
        return result.tree.to_json(), place() if seconds else None

    yield Worker(work, {"policy": "scripted"})


@asynccontextmanager
async def open_deadly_worker() -> AsyncIterator[Worker[int, int]]:
    """Doubles numbers, and crashes at 7."""

    async def work(number: int) -> int:
        await asyncio.sleep(0.01)
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 8:
            raise TreestarError("the server is gone")
        return 2 * number

    yield Worker(work, {}, lambda: ["said at the end"])


@asynccontextmanager
async def open_no_worker() -> AsyncIterator[Worker[int, int]]:
    """A model that cannot be loaded."""
    raise TreestarError("policy 'x' cannot be loaded")
    yield  # still makes this a generator


@asynccontextmanager
async def open_dying_worker() -> AsyncIterator[Worker[int, int]]:
    """A process that dies while it loads its model."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield Worker(lambda task: task, {})  # type: ignore[arg-type, return-value]
