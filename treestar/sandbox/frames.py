"""The protocol between the engine and the sandbox's processes: JSON objects with a length prefix.

A frame is its length (four bytes, big-endian), followed by this many bytes of UTF-8 JSON whose top level is an object.
Nothing is ever unpickled: data from a sandboxed process may be hostile. A frame that is too long or not a JSON object
raises `FrameError`; the connection is then unusable, and its owner closes it.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["Frame", "FrameBuffer", "FrameError", "encode"]

MAX_FRAME = 64 * 1024 * 1024
"""Maximum length of a received frame, in bytes."""

Frame = dict[str, Any]

HEADER = 4
DEEPEST = 20
"""Maximum nesting of objects and lists in a frame. If the recursion limit was raised, deeper nesting could overflow the
stack of Python's JSON parser."""
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


class FrameError(Exception):
    """The bytes received are not frames of this protocol."""


def encode(frame: Frame) -> bytes:
    """The bytes of one frame. Lone surrogates in strings survive as escapes."""
    body = json.dumps(frame, separators=(",", ":")).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


class FrameBuffer:
    """Collects received bytes and returns complete frames."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.bytes = bytearray()
        self.limit = limit

    def feed(self, received: bytes) -> list[Frame]:
        """Add `received` and return the frames it completed, in order.

        Raises:
            FrameError: a length above the limit, or a body that is not a JSON object.
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
        FrameError: `body` is not a JSON object.
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
    """An upper bound on the nesting of lists and objects in the JSON `text`."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for sign in re.findall(r"[][{}]", STRING.sub("", text)):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
