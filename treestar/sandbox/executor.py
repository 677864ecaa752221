"""The engine's side of the sandbox: an `Executor` whose interpreters each have their own worker process.

A snapshot is the number of a run. The worker keeps the state after each run; the engine keeps the code of each run and
its parent. So a worker that was killed (by a deadline, to free memory, by a crash) is replaced, and the new one runs
the path again.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
import warnings
import weakref
from dataclasses import dataclass

from treestar.sandbox.channel import ChannelClosed
from treestar.sandbox.config import SandboxConfig
from treestar.sandbox.connection import Connection
from treestar.sandbox.pool import WorkerPool
from treestar.sandbox.turns import Turns
from treestar.sandbox.worker_process import PathEntry, Reply, WorkerProcess
from treestar.types import Execution, Snapshot, TreestarError

__all__ = ["SandboxExecutor", "SandboxInterpreter"]

ATTEMPTS = 4
"""Workers tried for one run: a used one that fails is replaced, and so is one that ended with its zygote."""
LEEWAY_SECONDS = 0.25
DEATHS: dict[int | None, str] = {
    signal.SIGSEGV: "MemoryError: the step crashed the interpreter, which deep nesting or recursion does",
    signal.SIGXCPU: "TimeoutError: the step used more processor time than it may",
}
PROCESS_ISOLATION = (
    "isolation='process': steps run without landlock, seccomp and namespaces. Only RestrictedPython "
    "protects your files, network and processes from a step; if a step escapes it, nothing does."
)


class SandboxExecutor:
    """Runs the code of steps in jailed processes, under `config`'s limits. Implements `Executor`.

    The sandbox starts in the background when this object is created, so create it before loading a model. It can be
    used from several threads and event loops.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        if self.config.isolation == "process":
            warnings.warn(PROCESS_ISOLATION, RuntimeWarning, stacklevel=2)
        self.lock = threading.Lock()
        self.closed = False
        self.turns = Turns(self.config.concurrency)
        self.pool = WorkerPool(max(self.config.workers, self.config.concurrency))
        self.connection = Connection(self.config, self.pool.sweep)
        self.finalizer = weakref.finalize(self, self.connection.close)

    async def open(self) -> SandboxInterpreter:
        """A new interpreter, for one tree. The caller closes it.

        Raises:
            TreestarError: this executor is closed.
        """
        self.connect()
        return SandboxInterpreter(self)

    async def run_program(self, program: str, text: str, seconds: float | None = None) -> Execution:
        """Run a whole program once, in a separate process, with the standard input `text`.

        Like a step it is restricted Python in the jail; it may also use `input`, `exit` and the streams of `sys`.
        `sys.exit()` ends it well. Nothing but the `Execution`, without a snapshot, is left of it.

        Args:
            seconds: time limit in wall-clock seconds; None for the configuration's.

        Raises:
            TreestarError: this executor is closed or cannot start.
        """
        interpreter = await self.open()
        try:
            return await interpreter.run_program(program, text, seconds)
        finally:
            await interpreter.close()

    async def close(self) -> None:
        """Stop every process this executor started."""
        with self.lock:
            self.closed = True
            self.finalizer.detach()
        await asyncio.to_thread(self.connection.close)

    async def layers(self) -> dict[str, str]:
        """The status of each isolation layer on this machine, as text; "off: reason" if it is not active.

        Raises:
            TreestarError: the sandbox cannot be started.
        """
        of_zygote = await self.connect().wait_ready()
        worker = await self.new_worker()
        try:
            return {**of_zygote, **await worker.start()}
        except ChannelClosed as error:
            raise TreestarError(f"A worker of the sandbox did not start: {error}") from error
        finally:
            worker.kill()

    async def new_worker(self) -> WorkerProcess:
        """A new worker, not yet started. Raises TreestarError if this executor is closed or cannot start one."""
        connection = self.connect()
        await connection.wait_ready()
        return WorkerProcess(connection, self.config)

    def connect(self) -> Connection:
        """The connection to a running zygote, new if necessary. Raises TreestarError if this executor is closed."""
        with self.lock:
            if self.closed:
                raise TreestarError("This sandbox is closed; make a new SandboxExecutor.")
            if not self.connection.usable():
                self.finalizer.detach()
                self.connection.close()
                self.connection = Connection(self.config, self.pool.sweep)
                self.finalizer = weakref.finalize(self, self.connection.close)
            return self.connection


@dataclass(frozen=True, slots=True)
class Run:
    """A run that succeeded, with everything needed to repeat it."""

    parent: int | None
    code: str
    seconds: float
    """Its duration as measured by the engine."""


class SandboxInterpreter:
    """The interpreter of one tree. Implements `Interpreter`."""

    def __init__(self, executor: SandboxExecutor) -> None:
        self.executor = executor
        self.turn = Turns(1)
        self.numbers = itertools.count()
        self.runs: dict[int, Run] = {}
        """The successful runs, by snapshot."""
        self.worker: WorkerProcess | None = None
        self.closed = False

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        """Run `code` in the state `parent` (None: a fresh interpreter). `parent` itself does not change.

        Never raises because of the code: refusals, exceptions, limits and crashes are returned in `Execution.error`.

        Raises:
            TreestarError: this interpreter is closed, `parent` is not its snapshot, or the sandbox cannot start.
        """
        self.check_open()
        if parent is not None and parent not in self.runs:
            raise TreestarError(f"Snapshot {parent} does not belong to this interpreter.")
        if parent is not None and not does_something(code):
            return Execution(snapshot=parent)
        limit = self.executor.config.code_limit
        if len(code) > limit:
            return Execution(error=f"ValueError: the step's code is longer than {limit} characters")
        async with self.turn, self.executor.turns:
            self.check_open()
            return await self.run_in_worker(next(self.numbers), parent, code)

    async def run_program(self, program: str, text: str, seconds: float | None = None) -> Execution:
        """See `SandboxExecutor.run_program`."""
        limit = self.executor.config.code_limit
        if len(program) > limit:
            return Execution(error=f"ValueError: the program is longer than {limit} characters")
        async with self.turn, self.executor.turns:
            self.check_open()
            return await self.run_in_worker(next(self.numbers), None, program, text, seconds)

    async def close(self) -> None:
        """Forget all snapshots and kill the worker, idle or busy. Returns when it is gone."""
        self.closed = True
        self.runs = {}
        if self.worker is not None:
            self.executor.pool.discard(self.worker)
            await self.worker.end()

    def check_open(self) -> None:
        if self.closed:
            raise TreestarError("This interpreter is closed; open a new one with `await executor.open()`.")

    async def run_in_worker(
        self, number: int, parent: int | None, code: str, text: str | None = None, seconds: float | None = None
    ) -> Execution:
        """Run `code` as run `number`. A failure that a used worker may have caused is retried in a fresh worker.

        Args:
            text: the standard input of `code`, which is then a whole program; None for a step.
            seconds: time limit; None for the configuration's.
        """
        what = "step" if text is None else "program"
        left = limit = seconds or self.executor.config.seconds
        for _ in range(ATTEMPTS):
            worker = await self.take_worker()
            fresh, healthy = not worker.used, False
            try:
                path, again = self.unknown_path(parent, worker), self.seconds_again(parent)
                reply = await worker.run(number, parent, code, path, left, again, text)
                healthy = not (reply.worn or reply.doubtful)
                if fresh or not reply.doubtful:
                    took = time.monotonic() - worker.began
                    return self.execution(number, Run(parent, code, took) if text is None else None, reply)
            except TimeoutError:
                error = f"TimeoutError: the {what} ran longer than {limit:g} seconds and was stopped"
                # Less than the limit if what took too long was running the path again in a new worker.
                return Execution(error=error, seconds=min(limit, limit - left + time.monotonic() - worker.began))
            except ChannelClosed:
                signal_number = await worker.end()
                self.check_open()
                if fresh and worker.connection.usable():
                    error = DEATHS.get(signal_number, "RuntimeError: the step's process ended early")
                    return Execution(error=error, seconds=time.monotonic() - worker.began)
            finally:
                self.give_back(worker, healthy)
            left = max(left - (time.monotonic() - worker.began), 0.0)  # both attempts share the deadline
        return Execution(error="RuntimeError: the sandbox ended while it ran this step")

    async def take_worker(self) -> WorkerProcess:
        if self.worker is not None and not self.worker.usable_here():
            self.executor.pool.discard(self.worker)
        worker = self.executor.pool.take(self.worker)
        if worker is None:
            try:
                worker = self.worker = await self.executor.new_worker()
            except BaseException:
                self.executor.pool.give_back(None)
                raise
        return worker

    def give_back(self, worker: WorkerProcess, healthy: bool) -> None:
        healthy = healthy and not self.closed
        if not healthy:
            worker.kill()
        self.executor.pool.give_back(worker if healthy else None)

    def unknown_path(self, parent: int | None, worker: WorkerProcess) -> list[PathEntry]:
        """`parent` and its ancestors that `worker` does not know, oldest first."""
        path: list[PathEntry] = []
        while parent is not None and parent not in worker.known:
            run = self.runs[parent]
            path.append((parent, run.parent, run.code))
            parent = run.parent
        return path[::-1]

    def seconds_again(self, parent: int | None) -> float:
        """Seconds allowed for running the path to `parent` again: three times its duration, plus a margin."""
        seconds = 0.0
        while parent is not None:
            run = self.runs[parent]
            seconds += run.seconds
            parent = run.parent
        return 3 * seconds + LEEWAY_SECONDS

    def execution(self, number: int, run: Run | None, reply: Reply) -> Execution:
        """The execution that `reply` reports; `run` is kept if it succeeded."""
        if reply.error is not None or run is None:
            return Execution(reply.output, reply.error, None, reply.seconds, reply.memory)
        self.runs[number] = run
        return Execution(reply.output, None, Snapshot(number), reply.seconds, reply.memory)


def does_something(code: str) -> bool:
    """Whether `code` is more than blank lines and comments."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in code.splitlines())
