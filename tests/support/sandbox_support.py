"""Shared parts of the sandbox's tests: running steps and inspecting processes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from treestar.sandbox import SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter
from treestar.types import Execution, Snapshot

Result = TypeVar("Result")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


def with_interpreter(executor: SandboxExecutor, use: Callable[[SandboxInterpreter], Awaitable[Result]]) -> Result:
    async def body() -> Result:
        interpreter = await executor.open()
        try:
            return await use(interpreter)
        finally:
            await interpreter.close()

    return asyncio.run(body())


def run_steps(executor: SandboxExecutor, *steps: str) -> list[Execution]:
    """Run `steps` one after another, up to and including the first that fails."""

    async def use(interpreter: SandboxInterpreter) -> list[Execution]:
        executions: list[Execution] = []
        snapshot: Snapshot | None = None
        for step in steps:
            executions.append(await interpreter.run(step, snapshot))
            if executions[-1].error is not None:
                break
            snapshot = executions[-1].snapshot
        return executions

    return with_interpreter(executor, use)


def run(executor: SandboxExecutor, code: str) -> Execution:
    return run_steps(executor, textwrap.dedent(code))[0]


def plain_output(code: str) -> tuple[str, str | None]:
    """The output of an ordinary interpreter, and the name of the exception that ended it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(code, "<plain>", "exec"), {"__name__": "__main__"})
        except Exception as error:
            return printed.getvalue(), type(error).__name__
    return printed.getvalue(), None


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
    return found


def limits_of(pid: int) -> dict[str, str]:
    """The soft limits of a process, by their names in /proc."""
    with open(f"/proc/{pid}/limits") as limits:
        return {line[:26].strip(): line[26:].split()[0] for line in limits}


def status_of(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as status:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in status)}


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def zygote_pid(executor: SandboxExecutor) -> int:
    assert eventually(lambda: executor.connection.pid is not None)
    pid = executor.connection.pid
    assert pid is not None
    return pid
