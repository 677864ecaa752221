"""The engine's view of one worker: the runs it knows, requests to it, and validation of its answers."""

from __future__ import annotations

import asyncio
import math
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from treestar.sandbox.channel import Channel, ChannelClosed
from treestar.sandbox.config import SandboxConfig
from treestar.sandbox.connection import Connection, unsupported
from treestar.sandbox.frames import Frame, encode

__all__ = ["PathEntry", "Reply", "WorkerProcess"]

MARK = 100
"""Maximum length of the mark of cut output, in characters."""
LONGEST_ERROR = 2000
MOST_MEMORY = 1 << 50

PathEntry = tuple[int, int | None, str]
"""A run to send to a worker: its number, its parent's number, and its code."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer with all fields checked."""

    output: str
    error: str | None
    seconds: float
    memory: int
    doubtful: bool
    """The failure may be caused by the worker's earlier runs."""
    worn: bool
    """The worker cannot be used for other runs."""


class WorkerProcess:
    """One worker. One task at a time may use it, on the event loop it was created on; any thread may `kill` it."""

    def __init__(self, connection: Connection, config: SandboxConfig) -> None:
        self.connection = connection
        self.config = config
        engine_end, worker_end = socket.socketpair()
        frame_limit = 12 * config.output_limit + 65536  # JSON escapes a character with at most 12
        self.channel = Channel(engine_end, frame_limit)
        self.id, self.ended = connection.fork(worker_end)
        self.known: set[int] = set()
        """Runs that the worker knows."""
        self.used = False
        """Whether it has run any code."""
        self.began = time.monotonic()
        """When it last started to run new code."""

    async def start(self) -> dict[str, str]:
        """Wait until the worker has jailed itself. Returns the status of each layer of its jail.

        Raises:
            TreestarError: a layer is missing.
            ChannelClosed: the worker did not start.
        """
        try:
            frame = await self.channel.receive(self.config.start_seconds)
        except TimeoutError as error:
            raise ChannelClosed("it took too long to start") from error
        if "unsupported" in frame:
            raise unsupported(str(frame["unsupported"]))
        layers = frame.get("ready")
        if not isinstance(layers, dict):
            raise ChannelClosed("it did not report that it is ready")
        return {str(name): str(state) for name, state in layers.items()}

    async def run(
        self,
        number: int,
        parent: int | None,
        code: str,
        path: Sequence[PathEntry],
        seconds: float,
        again: float,
        text: str | None = None,
    ) -> Reply:
        """Run `code` after run `parent`, as run `number`; `path` contains the ancestors that the worker does not know.

        Args:
            seconds: time limit of the code.
            again: additional time limit of repeated runs, if any.
            text: the standard input of `code`, which is then a whole program; None for a step.

        Raises:
            TimeoutError: a time limit was exceeded.
            ChannelClosed: the worker is gone, or its answer is invalid.
        """
        if not self.used:
            await self.start()
            self.used = True
        request_id = secrets.randbits(53)  # a step cannot predict the id of the next request
        request: Frame = {"id": request_id, "node": number, "parent": parent, "code": code, "path": path}
        if text is not None:
            request["input"] = text
        self.began = time.monotonic()
        await self.channel.send(encode(request), seconds)
        self.known.update(entry[0] for entry in path)
        frame = await self.receive_reply(request_id, self.began + seconds - time.monotonic())
        if "replaying" in frame:
            runs = frame["replaying"]
            if type(runs) is not int or not 1 <= runs <= len(self.known):
                raise ChannelClosed("it reported more repeated runs than exist")
            # The time until now counts in full: a step that has started could claim to be repeating others.
            began_again = time.monotonic()
            frame = await self.receive_reply(request_id, again)
            if frame.get("replaying") != 0:
                raise ChannelClosed("it did not report that it finished the earlier steps")
            self.began += time.monotonic() - began_again
            frame = await self.receive_reply(request_id, self.began + seconds - time.monotonic())
        reply = checked(frame, self.config)
        if reply.error is None and text is None:
            self.known.add(number)
        return reply

    async def receive_reply(self, request_id: int, seconds: float) -> Frame:
        frame = await self.channel.receive(seconds)
        if frame.get("id") != request_id:
            raise ChannelClosed("it answered a different request")
        return frame

    def kill(self) -> None:
        """Kill the worker, idle or busy."""
        self.connection.kill(self.id)
        self.channel.close()

    async def end(self) -> int | None:
        """Kill the worker and wait until it has ended. Returns the signal that ended it, if any."""
        self.kill()
        return await asyncio.shield(asyncio.wrap_future(self.ended))  # a canceled caller must not cancel `ended`

    def usable_here(self) -> bool:
        """Whether the running event loop is the one it was created on."""
        return self.channel.loop is asyncio.get_running_loop()


def checked(frame: Frame, config: SandboxConfig) -> Reply:
    """The reply in `frame`. Raises ChannelClosed if a field has the wrong type or size."""
    output, error, seconds = frame.get("output"), frame.get("error"), frame.get("seconds")
    memory, doubtful, worn = frame.get("memory"), frame.get("doubtful"), frame.get("worn")
    if not isinstance(output, str) or not (error is None or isinstance(error, str)):
        raise ChannelClosed("its output is not text")
    if len(output) > config.output_limit + MARK or (error is not None and len(error) > LONGEST_ERROR):
        raise ChannelClosed("its output is longer than the limit")
    if type(seconds) is not float or not math.isfinite(seconds) or type(memory) is not int or memory > MOST_MEMORY:
        raise ChannelClosed("its measurements are not numbers")
    if type(doubtful) is not bool or type(worn) is not bool:
        raise ChannelClosed("its state flags are missing")
    error = error if error is None else printable(error)
    seconds = min(max(seconds, 0.0), config.seconds)
    return Reply(printable(output), error, seconds, max(memory, 0), doubtful, worn)


def printable(text: str) -> str:
    """`text` without lone surrogates, which cannot be written to a file."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
