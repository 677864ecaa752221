"""The protocol between the engine and the sandbox's processes: JSON objects, each behind its length.

A frame is four bytes of length, big-endian, and that many bytes of UTF-8 JSON whose top level is an object. Nothing is
ever unpickled: what a sandboxed process sent may be hostile. A frame that is too long, no JSON or no object is a
`FrameError`, after which the connection is worth nothing and its owner closes it.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["MAX_FRAME", "Frame", "FrameBuffer", "FrameError", "encode"]

MAX_FRAME = 64 * 1024 * 1024
"""Bytes of the longest frame that is read."""

Frame = dict[str, Any]

HEADER = 4
DEEPEST = 20
"""Objects and lists inside one another in a frame. The JSON parser of Python follows more of them than its stack holds
in a program that has raised its recursion limit."""
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


class FrameError(Exception):
    """The bytes received are not frames of this protocol."""


def encode(frame: Frame) -> bytes:
    """The bytes of one frame. Lone surrogates in strings survive as escapes."""
    body = json.dumps(frame, separators=(",", ":")).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


class FrameBuffer:
    """Collects received bytes and hands out the frames that are complete."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.bytes = bytearray()
        self.limit = limit

    def feed(self, received: bytes) -> list[Frame]:
        """Add `received` and return the frames it completed, in order.

        Raises:
            FrameError: a length above the limit, or a body that is no JSON object.
        """
        self.bytes += received
        frames = []
        while len(self.bytes) >= HEADER:
            length = int.from_bytes(self.bytes[:HEADER], "big")
            if length > self.limit:
                raise FrameError(f"a frame of {length} bytes is longer than the limit of {self.limit}")
            if len(self.bytes) < HEADER + length:
                break
            frames.append(decode_body(bytes(self.bytes[HEADER : HEADER + length])))
            del self.bytes[: HEADER + length]
        return frames


def decode_body(body: bytes) -> Frame:
    """The JSON object in `body`.

    Raises:
        FrameError: `body` is something else.
    """
    try:
        text = body.decode()
        if depth_of(text) > DEEPEST:
            raise FrameError(f"a frame is nested deeper than {DEEPEST}")
        frame = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    if not isinstance(frame, dict):
        raise FrameError(f"a frame is a JSON {type(frame).__name__}, not an object")
    return frame


def depth_of(text: str) -> int:
    """How deep lists and objects are nested in the JSON `text`, at most."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for sign in re.findall(r"[][{}]", STRING.sub("", text)):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
