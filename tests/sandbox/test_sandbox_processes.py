"""What remains when processes of the sandbox, or the engine, die or cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.sandbox_support import alive, children, eventually, linux, run, with_interpreter, zygote_pid

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.types import TreestarError


@pytest.fixture(scope="module")
def executor() -> Iterator[SandboxExecutor]:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, memory_mb=256, output_limit=2000, concurrency=2))
    yield made
    asyncio.run(made.close())


@linux
def test_a_killed_zygote_is_replaced_and_running_steps_are_run_again(executor: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> None:
        parent = (await interpreter.run("x = 1", None)).snapshot
        first = [zygote_pid(executor), *children(zygote_pid(executor))]
        os.kill(first[0], signal.SIGKILL)
        assert eventually(lambda: not any(map(alive, first)))
        assert (await interpreter.run("print(x)", parent)).output == "1\n"
        zygote = zygote_pid(executor)
        running = asyncio.create_task(interpreter.run("n = 0\nwhile n < 3 * 10**6: n += 1\nprint(n)", parent))
        while not children(zygote):
            await asyncio.sleep(0.02)
        worker = children(zygote)
        os.kill(zygote, signal.SIGKILL)
        assert (await running).output == "3000000\n"
        assert eventually(lambda: not any(map(alive, worker)))

    with_interpreter(executor, use)


@linux
def test_closing_leaves_no_process_and_ends_what_runs() -> None:
    async def body() -> None:
        executor = SandboxExecutor(SandboxConfig(seconds=60))
        interpreter = await executor.open()
        await interpreter.run("1", None)
        zygote = zygote_pid(executor)
        running = asyncio.create_task(interpreter.run("while True: pass", None))
        while not children(zygote):
            await asyncio.sleep(0.02)
        worker = children(zygote)
        await executor.close()
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await running
        assert not any(map(alive, [zygote, *worker]))
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await interpreter.run("1", None)
        with pytest.raises(TreestarError, match="sandbox is closed"):
            await executor.open()
        await executor.close()

    asyncio.run(body())


@linux
def test_an_executor_that_is_forgotten_ends_its_process() -> None:
    executor = SandboxExecutor()
    zygote = zygote_pid(executor)
    del executor
    assert eventually(lambda: not alive(zygote))


ENGINE = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born without it
from treestar.sandbox import SandboxConfig, SandboxExecutor

async def main():
    executor = SandboxExecutor(SandboxConfig(seconds=600, concurrency=2))
    interpreters = [await executor.open() for _ in range(2)]
    await interpreters[0].run("1", None)
    print(executor.connection.pid, flush=True)
    await asyncio.gather(*(interpreter.run("while True: pass", None) for interpreter in interpreters))

asyncio.run(main())
"""


@linux
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_ending_the_engine_takes_everything_with_it(how: signal.Signals) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert engine.stdout is not None
    zygote = int(engine.stdout.readline())
    assert eventually(lambda: len(children(zygote)) == 2)
    processes = [zygote, *children(zygote)]
    engine.send_signal(how)
    try:
        engine.wait(timeout=120)
    finally:
        engine.kill()
    engine.stdout.close()
    assert eventually(lambda: not any(map(alive, processes)))


def test_an_engine_that_ends_without_closing_ends() -> None:
    code = "from treestar.sandbox import SandboxExecutor; executor = SandboxExecutor()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_sandbox_that_cannot_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    executor = SandboxExecutor()
    with pytest.raises(TreestarError, match="could not be started"):
        run(executor, "1")
    asyncio.run(executor.close())


def test_a_sandbox_that_starts_too_slowly_says_what_to_do() -> None:
    executor = SandboxExecutor(SandboxConfig(start_seconds=0.001))
    with pytest.raises(TreestarError, match="start_seconds"):
        run(executor, "1")
    asyncio.run(executor.close())
