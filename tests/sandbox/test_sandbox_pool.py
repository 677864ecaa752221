"""Which tree gets a worker, and when: more trees than workers, several event loops, replaced workers, deadlines."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sandbox_support import children, linux, zygote_pid

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.turns import Turns
from treestar.types import Execution, Snapshot, TreestarError


@linux
def test_more_trees_than_workers_take_turns_and_lose_nothing() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(workers=2, concurrency=2))
        trees = [await executor.open() for _ in range(6)]
        snapshots: list[Snapshot | None] = [None] * 6
        for turn in range(3):
            code = "total = {0}" if turn == 0 else "total += {0}\nprint(total)"
            executions = await asyncio.gather(
                *(tree.run(code.format(number), snapshots[number]) for number, tree in enumerate(trees))
            )
            snapshots = [execution.snapshot for execution in executions]
            assert len(children(zygote_pid(executor))) <= 3  # one may be exiting
        assert [execution.output for execution in executions] == [f"{3 * number}\n" for number in range(6)]
        for tree in trees:
            await tree.close()
        assert children(zygote_pid(executor)) == []
        await executor.close()

    asyncio.run(body())


def test_a_tree_may_move_to_another_event_loop() -> None:
    executor = SandboxExecutor()
    interpreter = asyncio.run(executor.open())
    first = asyncio.run(interpreter.run("x = [1]", None))
    second = asyncio.run(interpreter.run("x.append(2)\nprint(x)", first.snapshot))
    assert second.output == "[1, 2]\n"
    moved: list[Execution] = []
    thread = threading.Thread(
        target=lambda: moved.append(asyncio.run(interpreter.run("x.append(3)\nprint(x)", second.snapshot)))
    )
    thread.start()
    thread.join()
    assert moved[0].output == "[1, 2, 3]\n"
    asyncio.run(executor.close())


def test_both_attempts_of_a_step_share_its_deadline() -> None:
    """A step that fails in a used worker is retried in a fresh one, within the same time limit."""

    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(seconds=60.0, restricted=False))
        interpreter = await executor.open()
        parent = (await interpreter.run("x = 1", None)).snapshot
        late = "import os, time\nend = time.monotonic() + 0.8\nwhile time.monotonic() < end: pass\nos._exit(0)"
        executor.config = replace(executor.config, seconds=1.0)
        assert "ran longer than 1 seconds" in ((await interpreter.run(late, parent)).error or "")
        executor.config = replace(executor.config, seconds=60.0)
        early = "import os\nos._exit(0)"
        assert (await interpreter.run(early, parent)).error == "RuntimeError: the step's process ended early"
        assert (await interpreter.run("print(x)", parent)).output == "1\n"
        await executor.close()

    asyncio.run(body())


def test_what_a_used_worker_has_no_memory_for_is_run_in_a_fresh_one() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(memory_mb=256))
        interpreter = await executor.open()
        for number in range(6):  # together more than available
            execution = await interpreter.run(f"x = bytearray(80_000_000)\nx[0] = {number}\nprint(x[0])", None)
            assert (execution.output, execution.error) == (f"{number}\n", None)
        assert execution.peak_memory > 80_000_000
        too_much = await interpreter.run("y = bytearray(400_000_000)", execution.snapshot)
        assert (too_much.error or "").startswith("MemoryError")
        assert (await interpreter.run("print(x[0])", execution.snapshot)).output == "5\n"
        await executor.close()

    asyncio.run(body())


def test_closing_an_interpreter_ends_what_it_runs_and_what_waits() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(seconds=60))
        interpreter = await executor.open()
        parent = (await interpreter.run("x = 1", None)).snapshot
        runs = [asyncio.create_task(interpreter.run(code, parent)) for code in ("while True: pass", "print(x)")]
        await asyncio.sleep(0.2)
        await interpreter.close()
        for run in runs:
            with pytest.raises(TreestarError, match="interpreter is closed"):
                await run
        other = await executor.open()
        assert (await other.run("print(2)", None)).output == "2\n"
        await executor.close()

    asyncio.run(body())


@settings(max_examples=50)
@given(
    limit=st.integers(1, 4),
    tasks=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=20),
)
def test_turns_let_in_at_most_so_many_and_lose_none(limit: int, tasks: list[tuple[int, bool]]) -> None:
    """Tasks that stay for some rounds of the loop, some of them cancelled before their turn or in it."""

    async def body() -> None:
        turns, inside, most = Turns(limit), 0, 0

        async def visit(rounds: int) -> None:
            nonlocal inside, most
            async with turns:
                inside += 1
                most = max(most, inside)
                try:
                    for _ in range(rounds):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        running = []
        for rounds, cancelled in tasks:
            running.append(asyncio.create_task(visit(rounds)))
            await asyncio.sleep(0)
            if cancelled:
                running[-1].cancel()
        await asyncio.wait_for(asyncio.gather(*running, return_exceptions=True), 60)
        assert inside == 0
        assert most <= limit
        await asyncio.wait_for(asyncio.gather(*(visit(1) for _ in range(limit + 2))), 60)

    asyncio.run(body())
