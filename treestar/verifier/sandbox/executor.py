"""The engine's side of the sandbox: an `Executor` whose snapshots stand for paths of code.

A snapshot is the path of steps that led to it. To run code in it, the path is run again in a process forked for this
one execution, its output dropped, and then the new code. Nothing is shared between executions, so siblings cannot see
each other; random numbers and hash order are the same each time, so running a path again does the same again.
"""

from __future__ import annotations

import asyncio
import threading
import weakref

from treestar.types import Execution, Snapshot, TreestarError
from treestar.verifier.sandbox.config import SandboxConfig
from treestar.verifier.sandbox.connection import Connection, ConnectionLost
from treestar.verifier.sandbox.frames import Frame, FrameError, decode_body

__all__ = ["SandboxExecutor", "SandboxInterpreter"]

_ATTEMPTS = 2
_SIGNALS = {
    "SIGSEGV": "MemoryError: the step crashed the interpreter, which deep nesting or recursion does",
    "SIGXCPU": "TimeoutError: the step used more processor time than it may",
}


class SandboxExecutor:
    """Runs the code of steps in processes of their own, under `config`'s limits. Implements `Executor`.

    The sandbox begins to start when this is made, in the background, so make it before loading a model. It may be used
    from several threads and event loops.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self._lock = threading.Lock()
        self._closed = False
        self._connection = Connection(self.config)
        self._finalizer = weakref.finalize(self, self._connection.close)

    async def open(self) -> SandboxInterpreter:
        """A new interpreter, for one tree. The caller closes it.

        Raises:
            TreestarError: this executor is closed.
        """
        self._connect()
        return SandboxInterpreter(self)

    async def close(self) -> None:
        """End every process this executor started."""
        with self._lock:
            self._closed = True
            self._finalizer.detach()
        await asyncio.to_thread(self._connection.close)

    async def execute(self, path: tuple[str, ...], code: str) -> Execution:
        """Run `code` in the state that running `path` leaves behind. The result carries no snapshot.

        Raises:
            TreestarError: the sandbox cannot be started, or is closed.
        """
        if len(code) > self.config.code_limit:
            return Execution(error=f"ValueError: the step's code is longer than {self.config.code_limit} characters")
        for _ in range(_ATTEMPTS):
            connection = self._connect()
            await connection.wait_ready()
            try:
                return self._read(await connection.request(path, code))
            except ConnectionLost:
                continue
        return Execution(error="RuntimeError: the sandbox ended while it ran this step")

    def _connect(self) -> Connection:
        """The connection to a living zygote, a new one if need be."""
        with self._lock:
            if self._closed:
                raise TreestarError("This sandbox is closed; make a new SandboxExecutor.")
            if not self._connection.usable():
                self._finalizer.detach()
                self._connection.close()
                self._connection = Connection(self.config)
                self._finalizer = weakref.finalize(self, self._connection.close)
            return self._connection

    def _read(self, answer: Frame) -> Execution:
        status, reply = answer.get("status"), answer.get("reply")
        seconds = float(answer.get("seconds", 0.0))
        if status == "deadline":
            limit = f"{self.config.seconds:g} seconds"
            return Execution(error=f"TimeoutError: the step ran longer than {limit} and was stopped", seconds=seconds)
        if status == "answered" and isinstance(reply, str):
            try:
                said = decode_body(reply.encode("utf-8"))
            except (FrameError, UnicodeEncodeError):
                said = {}
            output, error = said.get("output"), said.get("error")
            if isinstance(output, str) and (error is None or isinstance(error, str)):
                error = error if error is None else _printable(error)
                return Execution(output=_printable(output), error=error, seconds=seconds)
        return Execution(
            error=_SIGNALS.get(str(reply), "RuntimeError: the step's process ended early"), seconds=seconds
        )


class SandboxInterpreter:
    """The interpreter of one tree. Implements `Interpreter`."""

    def __init__(self, executor: SandboxExecutor) -> None:
        self._executor = executor
        self._paths: list[tuple[str, ...]] = []
        """The path of code behind each snapshot; a snapshot is an index into this list."""
        self._closed = False

    async def run(self, code: str, parent: Snapshot | None) -> Execution:
        """Run `code` in the state `parent` (None: a fresh interpreter). `parent` itself is left as it was.

        Never raises on account of the code: refusals, exceptions, limits and crashes come back in `Execution.error`.

        Raises:
            TreestarError: this interpreter is closed, or `parent` is not its snapshot, or the sandbox cannot start.
        """
        if self._closed:
            raise TreestarError("This interpreter is closed; open a new one with `await executor.open()`.")
        if parent is not None and not 0 <= parent < len(self._paths):
            raise TreestarError(f"Snapshot {parent} does not belong to this interpreter.")
        path = () if parent is None else self._paths[parent]
        if not _does_something(code):
            return Execution(snapshot=self._remember(path))
        execution = await self._executor.execute(path, code)
        if execution.error is not None:
            return execution
        snapshot = self._remember((*path, code))
        return Execution(output=execution.output, snapshot=snapshot, seconds=execution.seconds)

    async def close(self) -> None:
        """Forget all snapshots."""
        self._closed = True
        self._paths = []

    def _remember(self, path: tuple[str, ...]) -> Snapshot:
        self._paths.append(path)
        return Snapshot(len(self._paths) - 1)


def _does_something(code: str) -> bool:
    """Whether `code` is more than blank lines and comments."""
    return any(line.strip() and not line.lstrip().startswith("#") for line in code.splitlines())


def _printable(text: str) -> str:
    """`text` without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
