"""Workers in actors on a Ray cluster: tasks are handed out one by one, and again when an actor is lost.

The driver supervises each actor: it keeps `concurrency` tasks running there, replaces the actor when it dies, and gives
its tasks back to the queue, from which any actor takes them. Each result goes from the actor straight to the driver's
`on_result` and is not kept.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Generic, NoReturn, TypeVar

from treestar.extras import needs_extra
from treestar.types import TreestarError, first_line
from treestar.workers.ray_config import RayConfig
from treestar.workers.task_queue import TaskQueue
from treestar.workers.worker import OnResult, Opening, ResultT, TaskT, Worker

__all__ = ["connect", "open_actors"]

CLOSE_SECONDS = 20.0
"""Seconds an actor has to close its sandbox and models before it is killed."""

CONNECT_SECONDS = 10.0
"""Seconds within which a cluster's head node must answer."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds before starting a failed actor again; the pause doubles each time, up to the second value. Ray needs some
time before it stops placing actors on a lost node."""

T = TypeVar("T")


class WorkerActor(Generic[TaskT, ResultT]):
    """Runs in an actor's process: a worker on the actor's event loop."""

    def __init__(self, opening: Opening[TaskT, ResultT]) -> None:
        self.opening = opening
        self.held = AsyncExitStack()

    async def open(self) -> Mapping[str, Any]:
        """Open the worker; returns its `about`."""
        self.worker: Worker[TaskT, ResultT] = await self.held.enter_async_context(self.opening())
        return self.worker.about

    async def work(self, task: TaskT) -> ResultT:
        return await self.worker.work(task)

    async def close(self) -> list[str]:
        """End the worker; returns its remarks."""
        remarks = list(self.worker.remarks())
        await self.held.aclose()
        return remarks


class ActorWorkers(Generic[TaskT, ResultT]):
    """Implements `Workers`. Bound to one event loop; created by `open_actors`."""

    def __init__(
        self,
        opening: Opening[TaskT, ResultT],
        concurrency: int,
        config: RayConfig,
        count: int,
        remark: Callable[[str], None],
    ) -> None:
        self.opening = opening
        self.concurrency = concurrency
        self.config = config
        self.remark = remark
        self.queue: TaskQueue[TaskT] = TaskQueue(config.actor_retries)
        self.on_result: OnResult[TaskT, ResultT] = lambda _task, _result: None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        """`Worker.about` of the first open actor."""
        self.failure: asyncio.Future[None] = loop.create_future()
        """Gets an exception when the run cannot continue."""
        self.count = count
        self.helpless = 0
        """Actors that died too often before their models were loaded, and are still being retried."""

    @property
    def about(self) -> Mapping[str, Any]:
        return self.opened.result()

    async def run(self, tasks: Iterable[TaskT], on_result: OnResult[TaskT, ResultT]) -> None:
        self.on_result = on_result
        self.queue.fill(tasks)
        await self.unless_failed(self.queue.drained.wait())

    async def unless_failed(self, wanted: Awaitable[T]) -> T:
        """The result of `wanted`, unless the failure comes first."""
        future = asyncio.ensure_future(wanted)
        either: list[asyncio.Future[Any]] = [future, self.failure]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not future.done():
                self.failure.result()
            return future.result()
        finally:
            future.cancel()

    async def supervise(self, actor_class: Any) -> None:
        """Keep one actor running; if that is impossible, fail the whole run."""
        try:
            await self.keep_at_work(actor_class)
        except Exception as error:
            if not self.failure.done():
                self.failure.set_exception(error)

    async def keep_at_work(self, actor_class: Any) -> NoReturn:
        """Start an actor, feed it, and replace it when it dies. Ends only with an exception."""
        from ray.exceptions import RayError, RayTaskError

        failed_starts = 0
        while True:
            actor, is_open = actor_class.remote(self.opening), False
            try:
                self.note_open(await actor.open.remote())
                is_open = True
                self.helpless -= failed_starts > self.config.actor_retries
                failed_starts = 0
                await self.feed(actor)
            except RayTaskError as error:  # raised by the worker itself, so another would raise it too
                raise (error.cause if isinstance(error.cause, TreestarError) else error) from None
            except RayError as error:
                if is_open:
                    self.remark(f"an actor was lost; its tasks go to others: {reason_of(error)}")
                else:
                    failed_starts += 1
                    self.note_failed_start(failed_starts, reason_of(error))
            finally:
                await self.end(actor, is_open)
            if failed_starts:
                await asyncio.sleep(min(FIRST_PAUSE * 2 ** (failed_starts - 1), LONGEST_PAUSE))

    def note_failed_start(self, failed_starts: int, reason: str) -> None:
        if failed_starts == self.config.actor_retries + 1:
            self.helpless += 1
            self.remark(f"an actor died {failed_starts} times before its models were loaded: {reason}")
        if self.helpless == self.count:
            raise TreestarError(
                f"no actor can start: each died {failed_starts} times before its models were loaded, the last one "
                f"because: {reason}"
            )

    def note_open(self, about: Mapping[str, Any]) -> None:
        if not self.opened.done():
            self.opened.set_result(about)
        for name in self.about:
            if about[name] != self.about[name]:
                raise TreestarError(
                    f"the cluster's nodes differ in {name}: {self.about[name]} and {about[name]}, so results would "
                    "depend on the node that runs a task; set it explicitly"
                )

    async def feed(self, actor: Any) -> NoReturn:
        """Keep `concurrency` tasks running in the actor. Ends only with an exception."""
        from ray.exceptions import RayError

        places = [asyncio.create_task(self.fill_place(actor)) for _ in range(self.concurrency)]
        try:
            await asyncio.wait(places, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for place in places:
                place.cancel()
            ended = await asyncio.gather(*places, return_exceptions=True)
        errors = [each for each in ended if isinstance(each, Exception)]
        # A failed actor gives its tasks back. A failure on this side (such as writing a result) must win.
        raise min(errors, key=lambda error: isinstance(error, RayError))

    async def fill_place(self, actor: Any) -> NoReturn:
        while True:
            attempt = await self.queue.take()
            try:
                result = await actor.work.remote(attempt.task)
            except BaseException:
                self.queue.give_back(attempt)
                raise
            self.on_result(attempt.task, result)
            self.queue.finish()

    async def end(self, actor: Any, is_open: bool) -> None:
        import ray
        from ray.exceptions import RayError

        if is_open:
            with suppress(RayError, TimeoutError):
                for each in await asyncio.wait_for(actor.close.remote(), CLOSE_SECONDS):
                    self.remark(each)
        ray.kill(actor)


@asynccontextmanager
async def open_actors(
    opening: Opening[TaskT, ResultT], concurrency: int, config: RayConfig, remark: Callable[[str], None]
) -> AsyncIterator[ActorWorkers[TaskT, ResultT]]:
    """Start the actors and wait for the first; see `open_workers`."""
    connect(config.address)
    import ray

    gpus, count = placement(config, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    actor_class = ray.remote(WorkerActor).options(
        num_cpus=config.actor_cpus,
        num_gpus=gpus,
        max_concurrency=concurrency + 1,
        max_restarts=0,
        scheduling_strategy="SPREAD",
    )
    workers = ActorWorkers(opening, concurrency, config, count, remark)
    supervisors = [asyncio.create_task(workers.supervise(actor_class)) for _ in range(count)]
    try:
        try:
            await asyncio.wait_for(workers.unless_failed(workers.opened), config.actor_start_seconds)
        except TimeoutError:
            raise TreestarError(
                f"no actor could start within {config.actor_start_seconds:,.0f} s: each needs {config.actor_cpus:g} "
                f"CPUs and {gpus:g} GPUs of one node, and the cluster has {ray.cluster_resources()}"
            ) from None
        yield workers
    finally:
        for each in supervisors:
            each.cancel()
        await asyncio.gather(*supervisors, return_exceptions=True)
        if not workers.failure.cancel():
            workers.failure.exception()  # already raised, or no longer relevant


def connect(address: str) -> None:
    """Connect this process to the cluster, unless it is already connected to one.

    Raises:
        TreestarError: Ray is not installed, or no cluster answers at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray sends usage statistics to its developers
    try:
        import ray
    except ImportError as error:
        raise needs_extra("--ray", "ray") from error
    if ray.is_initialized():
        return
    try:
        if address == "local":
            ray.init("local", include_dashboard=False, logging_level="WARNING", _node_ip_address="127.0.0.1")
        else:
            if address != "auto":  # Ray itself would retry for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
            ray.init(address, logging_level="WARNING")
    except (OSError, ValueError, RuntimeError) as error:
        raise TreestarError(f"no Ray cluster found at {address}: {first_line(error)}") from error


def placement(config: RayConfig, nodes: list[Mapping[str, float]]) -> tuple[float, int]:
    """GPUs of each actor, and the number of actors on nodes with these resources.

    Raises:
        TreestarError: none of the nodes has room.
    """
    gpus = config.actor_gpus
    if gpus is None:
        gpus = float(any(node.get("GPU", 0) for node in nodes))
    if config.actors is not None:
        return gpus, config.actors
    wanted = {name: amount for name, amount in (("CPU", config.actor_cpus), ("GPU", gpus)) if amount}
    if not wanted:
        raise TreestarError("actors of 0 CPUs and 0 GPUs have room everywhere: give --actors, or --actor-cpus above 0")
    count = sum(int(min(node.get(name, 0) / amount for name, amount in wanted.items())) for node in nodes)
    if count == 0:
        raise TreestarError(
            f"no node of the Ray cluster has room for an actor of {config.actor_cpus:g} CPUs and {gpus:g} GPUs: lower "
            "--actor-cpus or --actor-gpus, or set --actors if nodes will join later"
        )
    return gpus, count


def reason_of(error: BaseException) -> str:
    """Why an actor died, in one line. If it could not be created, the reason is at the end of Ray's traceback."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if "creation task" in lines[0] else lines[0]
