"""Workers on a real cluster of two nodes: lost work is repeated, and results equal those of one process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from support.ray_cluster import (
    open_deadly_worker,
    open_dying_worker,
    open_no_worker,
    open_tree_worker,
    other_node,
    two_nodes,
)

from treestar.types import Problem, TreestarError
from treestar.workers import RayConfig, open_workers
from treestar.workers.ray_actors import placement
from treestar.workers.task_queue import TaskQueue

pytest.importorskip("ray")

PROBLEMS = [Problem(f"problem {i}?", str(i % 3), f"{i}") for i in range(60)]


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as found:
        yield found


def run(
    opening: Any,
    tasks: Iterable[Any],
    config: RayConfig | None,
    on_result: Callable[[Any, Any], None],
    concurrency: int = 4,
) -> list[str]:
    """Run all tasks. Returns the results and the messages."""
    said: list[str] = []

    async def work() -> None:
        async with open_workers(opening, concurrency, config, said.append) as workers:
            await workers.run(tasks, on_result)

    asyncio.run(work())
    return said


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "localhost:port"])
def test_an_address_without_a_cluster_is_said_at_once(address: str) -> None:
    """Runs before the tests that connect this process to the cluster."""
    with pytest.raises(TreestarError, match=f"no Ray cluster found at {address}: "):
        run(open_deadly_worker, [1], RayConfig(address), lambda _task, _result: None)


@pytest.mark.slow
def test_a_job_that_kills_every_actor_is_named_and_ends_the_run(cluster: Any) -> None:
    done: list[int] = []
    sentence = r"2 actors died while working on 7: .*leave it out"
    with pytest.raises(TreestarError, match=sentence):
        run(open_deadly_worker, range(8), RayConfig(actors=1, actor_retries=1), lambda task, _: done.append(task), 1)
    assert sorted(done) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_failure_of_the_worker_itself_is_said_as_in_one_process(cluster: Any) -> None:
    with pytest.raises(TreestarError, match=r"^the server is gone$"):
        run(open_deadly_worker, [1, 8], RayConfig(actors=1), lambda _task, _result: None)
    with pytest.raises(TreestarError, match=r"^policy 'x' cannot be loaded$"):
        run(open_no_worker, [1], RayConfig(actors=1), lambda _task, _result: None)
    with pytest.raises(TreestarError, match="no actor can start: each died 2 times"):
        run(open_dying_worker, [1], RayConfig(actors=1, actor_retries=1), lambda _task, _result: None)


def test_a_failure_to_write_ends_the_run_and_workers_say_their_remarks(cluster: Any) -> None:
    said: list[str] = []

    def full(_task: int, _result: int) -> None:
        raise TreestarError("the disk is full")

    async def work() -> None:
        async with open_workers(open_deadly_worker, 2, RayConfig(actors=1), said.append) as workers:
            await workers.run([1, 2, 3], lambda task, result: said.append(f"{task} {result}"))
            await workers.run([], full)
            await workers.run([4], full)

    with pytest.raises(TreestarError, match=r"^the disk is full$"):
        asyncio.run(work())
    assert sorted(said) == ["1 2", "2 4", "3 6", "said at the end"]


@pytest.mark.slow
def test_jobs_are_taken_as_there_is_room_for_them(cluster: Any) -> None:
    """Of a million tasks, only those in flight exist, and results are not kept."""
    taken = 0

    def tasks() -> Any:
        nonlocal taken
        while taken < 1_000_000:
            taken += 1
            yield 1

    done = 0

    def on_result(_task: int, _result: int) -> None:
        nonlocal done
        done += 1
        assert taken - done < 2 * 3
        if done == 300:
            raise TreestarError("enough")

    with pytest.raises(TreestarError, match="enough"):
        run(open_deadly_worker, tasks(), RayConfig(actors=2), on_result, concurrency=3)


def test_no_room_is_said_at_once(cluster: Any) -> None:
    with pytest.raises(TreestarError, match="no node of the Ray cluster has room for an actor of 5 CPUs and 0 GPUs"):
        run(open_deadly_worker, [1], RayConfig(actor_cpus=5), lambda _task, _result: None)
    config = RayConfig(actors=1, actor_cpus=5, actor_start_seconds=0.5)
    with pytest.raises(TreestarError, match=r"no actor could start within 0 s: each needs 5 CPUs .*'CPU': 8"):
        run(open_deadly_worker, [1], config, lambda _task, _result: None)


def test_an_actor_killed_and_a_node_removed_lose_nothing(cluster: Any) -> None:
    """The cluster's last test: it leaves one node."""
    alone: dict[str, Any] = {}
    run(open_tree_worker, PROBLEMS, None, lambda problem, found: alone.update({problem.id: found[0]}))
    trees: dict[str, Any] = {}
    places: list[tuple[int, str]] = []
    killed: list[int] = []
    removed: list[str] = []

    def on_result(problem: Problem, found: Any) -> None:
        assert problem.id not in trees
        trees[problem.id], place = found
        places.append(place)
        [other] = [each.node_id for each in cluster.worker_nodes] or removed
        here = [pid for pid, node in places if node != other]
        if not killed and here and len(trees) >= 10:
            killed.append(here[-1])
            os.kill(here[-1], signal.SIGKILL)
        if killed and not removed and any(node == other for _, node in places) and len(trees) >= 25:
            removed.append(other)
            cluster.remove_node(other_node(cluster), allow_graceful=False)

    def opening() -> Any:
        return open_tree_worker(seconds=0.1)

    said = run(opening, iter(PROBLEMS), RayConfig(actors=4, actor_cpus=2), on_result)
    assert (len(killed), len(removed)) == (1, 1)
    assert trees == alone
    assert any("an actor was lost" in line for line in said)


def test_actors_fill_the_nodes() -> None:
    nodes = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0}]
    assert placement(RayConfig(actor_cpus=4), nodes) == (1.0, 4 + 8)
    assert placement(RayConfig(actor_cpus=4, actor_gpus=4), nodes) == (4, 2 + 2)
    assert placement(RayConfig(actor_cpus=4, actor_gpus=0), nodes) == (0, 4 + 16 + 1)
    assert placement(RayConfig(actor_cpus=4, actors=100), nodes) == (1.0, 100)
    assert placement(RayConfig(actor_cpus=0.1, actor_gpus=0.5), nodes[:1]) == (0.5, 16)


@pytest.mark.parametrize(
    "wrong",
    [{"actors": 0}, {"actor_cpus": -1.0}, {"actor_retries": -1}, {"actor_start_seconds": 0.0},
     {"actor_cpus": 0.0, "actor_gpus": 0.0}],
)  # fmt: skip
def test_impossible_clusters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="actor"):
        RayConfig(**wrong)


@pytest.mark.parametrize("seed", range(5))
def test_a_queue_whose_takers_fail_ends_with_every_job_done_once(seed: int) -> None:
    import random

    numbers = random.Random(seed)
    done: list[int] = []

    async def take(queue: TaskQueue[int]) -> None:
        while True:
            attempt = await queue.take()
            await asyncio.sleep(numbers.random() / 1000)
            if numbers.random() < 0.3:
                queue.give_back(attempt)
            else:
                done.append(attempt.task)
                queue.finish()

    async def work() -> None:
        queue: TaskQueue[int] = TaskQueue(retries=100)
        takers = [asyncio.create_task(take(queue)) for _ in range(7)]
        for tasks in (range(50), range(0), range(50, 60)):
            queue.fill(tasks)
            await queue.drained.wait()
            assert sorted(done) == list(range(len(done)))
            assert tasks.stop in (0, len(done))
        for each in takers:
            each.cancel()

    asyncio.run(work())


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TreestarError, match=r"pip install 'treestar\[ray\]'"):
        run(open_deadly_worker, [1], RayConfig(), lambda _task, _result: None)
