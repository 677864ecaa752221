"""The engine's end of the socket to one worker: frames with deadlines.

A worker's data may be hostile, so everything is checked: the length of a frame before it is read, its format when it is
complete, and the time it takes. Any violation ends the worker.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress

from treestar.sandbox.frames import Frame, FrameBuffer, FrameError

__all__ = ["Channel", "ChannelClosed"]

READ_SIZE = 1 << 16
MOST_UNREAD = 3
"""Maximum number of frames in one answer."""


class ChannelClosed(Exception):
    """The worker is gone, or sent an invalid frame."""


class Channel:
    """Bound to the event loop it was created on. One task at a time may use it; any thread may `close` it."""

    def __init__(self, end: socket.socket, frame_limit: int) -> None:
        end.setblocking(False)
        self.socket = end
        self.descriptor = end.fileno()  # asyncio looks up a number faster than a socket
        self.buffer = FrameBuffer(frame_limit)
        self.frames: deque[Frame] = deque()
        self.waiting: asyncio.Future[None] | None = None
        self.failure: str | None = None
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.descriptor, self.read)

    async def send(self, data: bytes, seconds: float) -> None:
        """Send `data`.

        Raises:
            ChannelClosed: the worker is gone, or sent data without a request.
            TimeoutError: the worker did not accept the data within `seconds`.
        """
        if self.frames:
            raise ChannelClosed("it sent data without a request")
        try:
            sent = self.socket.send(data)
            if sent < len(data):
                await asyncio.wait_for(self.loop.sock_sendall(self.socket, data[sent:]), seconds)
        except TimeoutError:
            raise TimeoutError from None
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    async def receive(self, seconds: float) -> Frame:
        """The next frame.

        Raises:
            ChannelClosed: the worker is gone, or sent an invalid frame.
            TimeoutError: no complete frame arrived within `seconds`.
        """
        if not self.frames:
            if self.failure is not None:
                raise ChannelClosed(self.failure)
            self.waiting = self.loop.create_future()
            timer = self.loop.call_later(seconds, fail, self.waiting, TimeoutError())
            try:
                await self.waiting
            finally:
                timer.cancel()
                self.waiting = None
        return self.frames.popleft()

    def close(self) -> None:
        """Close this end, which ends a worker that is not busy. May be called from any thread, and more than once."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here or self.loop.is_closed():
            self.close_socket()
        else:
            with suppress(RuntimeError):  # it was closed just now
                self.loop.call_soon_threadsafe(self.close_socket)

    def close_socket(self) -> None:
        self.fail("it was stopped")
        self.socket.close()

    def read(self) -> None:
        try:
            received = self.socket.recv(READ_SIZE)
            self.frames += self.buffer.feed(received)
        except BlockingIOError:
            return
        except (OSError, FrameError) as error:
            self.fail(str(error))
            return
        if not received:
            self.fail("it closed the connection")
        elif len(self.frames) > MOST_UNREAD:
            self.fail("it sent more frames than requested")
        elif self.frames and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(None)

    def fail(self, reason: str) -> None:
        """Stop reading, and raise `reason` in the task that waits."""
        if self.failure is not None:
            return
        self.failure = reason
        if not self.loop.is_closed():
            self.loop.remove_reader(self.descriptor)
        if self.waiting is not None:
            fail(self.waiting, ChannelClosed(reason))


def fail(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
