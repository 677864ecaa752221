"""The engine's view of one worker: which runs it knows, what it is asked, and what is believed of its answers."""

from __future__ import annotations

import asyncio
import math
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from treestar.verifier.sandbox.channel import Channel, ChannelClosed
from treestar.verifier.sandbox.config import SandboxConfig
from treestar.verifier.sandbox.connection import Connection, unsupported
from treestar.verifier.sandbox.frames import Frame, encode

__all__ = ["PathEntry", "Reply", "WorkerProcess"]

MARK = 100
"""Characters that the mark of cut output takes at most."""
LONGEST_ERROR = 2000
MOST_MEMORY = 1 << 50

PathEntry = tuple[int, int | None, str]
"""A run that a worker is told of: its number, its parent's, and its code."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer whose every field has been checked."""

    output: str
    error: str | None
    seconds: float
    memory: int
    doubtful: bool
    """The run failed in a way that what the worker did before may have caused."""
    worn: bool
    """The worker is no good for other runs any more."""


class WorkerProcess:
    """One worker. Used by one task at a time, of the event loop that it was made on; anyone may `kill` it."""

    def __init__(self, connection: Connection, config: SandboxConfig) -> None:
        self.connection = connection
        self.config = config
        engine_end, worker_end = socket.socketpair()
        frame_limit = 12 * config.output_limit + 65536  # JSON escapes one character with 12 at most
        self.channel = Channel(engine_end, frame_limit)
        self.id, self.ended = connection.fork(worker_end)
        self.known: set[int] = set()
        """Runs that it has done or was told of."""
        self.used = False
        """Whether it has run anything."""
        self.began = time.monotonic()
        """When it last began to run new code."""

    async def start(self) -> dict[str, str]:
        """Wait until it has jailed itself; gives what each layer of its jail does.

        Raises:
            TreestarError: a layer is missing.
            ChannelClosed: it did not start.
        """
        try:
            frame = await self.channel.receive(self.config.start_seconds)
        except TimeoutError as error:
            raise ChannelClosed("it took too long to start") from error
        if "unsupported" in frame:
            raise unsupported(str(frame["unsupported"]))
        layers = frame.get("ready")
        if not isinstance(layers, dict):
            raise ChannelClosed("it did not say that it is ready")
        return {str(name): str(state) for name, state in layers.items()}

    async def run(
        self, number: int, parent: int | None, code: str, path: Sequence[PathEntry], seconds: float, again: float
    ) -> Reply:
        """Have it run `code` after `parent` as the run `number`; `path` holds the ancestors that it does not know.

        Args:
            seconds: how long the code may take.
            again: how long the runs before may take beyond that, if it must repeat them.

        Raises:
            TimeoutError: it took longer.
            ChannelClosed: it is gone, or answered something that is no answer to this.
        """
        if not self.used:
            await self.start()
            self.used = True
        request_id = secrets.randbits(53)  # no step can know the one that the next request will have
        request = {"id": request_id, "node": number, "parent": parent, "code": code, "path": path}
        self.began = time.monotonic()
        await self.channel.send(encode(request), seconds)
        self.known.update(entry[0] for entry in path)
        frame = await self.receive_reply(request_id, self.began + seconds - time.monotonic())
        if "replaying" in frame:
            runs = frame["replaying"]
            if type(runs) is not int or not 1 <= runs <= len(self.known):
                raise ChannelClosed("it wants to repeat more runs than there are")
            # What went by until now counts in full: a step that has begun could claim to be repeating others.
            began_again = time.monotonic()
            frame = await self.receive_reply(request_id, again)
            if frame.get("replaying") != 0:
                raise ChannelClosed("it did not say that it is done with the steps before")
            self.began += time.monotonic() - began_again
            frame = await self.receive_reply(request_id, self.began + seconds - time.monotonic())
        reply = checked(frame, self.config)
        if reply.error is None:
            self.known.add(number)
        return reply

    async def receive_reply(self, request_id: int, seconds: float) -> Frame:
        frame = await self.channel.receive(seconds)
        if frame.get("id") != request_id:
            raise ChannelClosed("it answered something that was not asked")
        return frame

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self.connection.kill(self.id)
        self.channel.close()

    async def end(self) -> int | None:
        """End it and wait until it has; gives the signal that ended it, if it was one."""
        self.kill()
        return await asyncio.shield(asyncio.wrap_future(self.ended))  # a cancelled caller cancels no fact

    def usable_here(self) -> bool:
        """Whether the running event loop is the one that it was made on."""
        return self.channel.loop is asyncio.get_running_loop()

    def processor_seconds(self) -> float | None:
        """Processor time that it has used, or None where that cannot be told."""
        return self.connection.processor_seconds(self.id)

    def zygote_lives(self) -> bool:
        """Whether the zygote that forked it lives."""
        return self.connection.usable()


def checked(frame: Frame, config: SandboxConfig) -> Reply:
    """The reply in `frame`, of which nothing is believed but what has the right form and size."""
    output, error, seconds = frame.get("output"), frame.get("error"), frame.get("seconds")
    memory, doubtful, worn = frame.get("memory"), frame.get("doubtful"), frame.get("worn")
    if not isinstance(output, str) or not (error is None or isinstance(error, str)):
        raise ChannelClosed("its output is not text")
    if len(output) > config.output_limit + MARK or (error is not None and len(error) > LONGEST_ERROR):
        raise ChannelClosed("its output is longer than it may be")
    if type(seconds) is not float or not math.isfinite(seconds) or type(memory) is not int or memory > MOST_MEMORY:
        raise ChannelClosed("its figures are not numbers")
    if type(doubtful) is not bool or type(worn) is not bool:
        raise ChannelClosed("it does not say how it is")
    error = error if error is None else printable(error)
    seconds = min(max(seconds, 0.0), config.seconds)
    return Reply(printable(output), error, seconds, max(memory, 0), doubtful, worn)


def printable(text: str) -> str:
    """`text` without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
